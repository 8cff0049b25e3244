"""What PipeWire's session manager can do, as programs say that stand in for PipeWire's."""

import os

import pytest

from stemd.daemon.device.session_manager import AGAIN_S, ANSWER_S, SessionManager
from waiting import wait_until


@pytest.fixture
def says(tmp_path):
    """A function that makes a session manager of which pw-metadata says something."""
    managers = []

    def make(script: str) -> SessionManager:
        program = tmp_path / "pw-metadata"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        path = f"{tmp_path}:{os.environ['PATH']}"
        managers.append(SessionManager({**os.environ, "PATH": path}))
        return managers[-1]

    yield make
    for each in managers:
        each.close()


def answer(manager: SessionManager, now: float = 0.0) -> tuple[bool | None, bool]:
    def has_answered() -> bool:
        manager.look(now)
        return manager._process is None

    wait_until(has_answered)
    return manager.is_there, manager.has_smart_filters


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ('echo "Found \\"$2\\" metadata 40"', (True, True)),
        ('[ "$2" = filters ] || echo "Found \\"$2\\" metadata 40"', (True, False)),
        ("exit 0", (False, False)),
    ],
)
def test_what_metadata_there_are_says_what_it_is(says, script, found):
    manager = says(script)
    assert manager.is_there is None
    assert answer(manager) == found


def test_while_there_is_none_it_is_asked_again_after_a_while(says, tmp_path):
    manager = says('echo asked >> "${0%/*}/asked"')
    answer(manager)
    manager.look(AGAIN_S / 2)
    assert manager._process is None
    answer(manager, AGAIN_S)
    assert (tmp_path / "asked").read_text().count("asked") == 4


def test_a_program_that_waits_for_ever_is_ended(says):
    manager = says("exec sleep 60")
    manager.look(0.0)
    process = manager._process
    manager.look(ANSWER_S / 2)
    assert manager._process is process
    manager.look(2 * ANSWER_S)
    assert process.poll() is not None
    assert manager.is_there is False
