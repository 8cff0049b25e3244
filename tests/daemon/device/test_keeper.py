"""A program is kept running, and never outlives stemd."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stemd.daemon.device.keeper import FIRST_PAUSE_S, LONGEST_PAUSE_S, SHORT_LIFE_S, Keeper
from waiting import wait_until

SLEEP = ["sleep", "60"]


@pytest.fixture
def keeper():
    keeper = Keeper(os.environ)
    yield keeper
    keeper.end()


def kill(keeper) -> None:
    keeper._process.kill()
    wait_until(lambda: not keeper.is_running)


def test_it_is_started_once_and_again_at_once_when_it_ends_after_long(keeper):
    assert keeper.keep(SLEEP, 0.0) and keeper.is_running
    assert not keeper.keep(SLEEP, 1.0)
    kill(keeper)
    assert keeper.keep(SLEEP, 2 * SHORT_LIFE_S) and keeper.is_running
    assert not keeper.is_pausing(2 * SHORT_LIFE_S)


def test_what_ends_soon_is_started_later_each_time(keeper):
    now, pause = 0.0, FIRST_PAUSE_S
    for _ in range(10):
        assert keeper.keep(SLEEP, now)
        kill(keeper)
        assert not keeper.keep(SLEEP, now)
        assert keeper.is_pausing(now + pause - 0.01)
        now += pause
        assert not keeper.is_pausing(now)
        pause = min(2 * pause, LONGEST_PAUSE_S)
    assert pause == LONGEST_PAUSE_S


def test_what_cannot_be_started_is_tried_again(keeper, tmp_path, monkeypatch):
    monkeypatch.setattr("stemd.daemon.device.keeper.ended_with_stemd", lambda _: [])
    missing = [str(tmp_path / "missing")]
    assert not keeper.keep(missing, 0.0)
    assert keeper.is_pausing(0.0) and not keeper.is_running
    assert keeper.keep(SLEEP, FIRST_PAUSE_S)


def test_after_its_end_nothing_runs(keeper):
    keeper.keep(SLEEP, 0.0)
    process = keeper._process.pid
    keeper.end()
    assert not keeper.is_running
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


PARENT = """
import os, signal
from stemd.daemon.device.keeper import Keeper
keeper = Keeper(os.environ)
keeper.keep(["sleep", "60"], 0.0)
print(keeper._process.pid, flush=True)
signal.pause()
"""


def command(process: int) -> list[str]:
    """What runs there; nothing where it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return [""]


def test_it_ends_with_a_stemd_that_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    wait_until(lambda: command(child)[0] == "sleep")
    parent.kill()
    parent.communicate()
    wait_until(lambda: command(child) == [""])


def test_it_does_not_begin_where_stemd_has_ended_already(keeper, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "getpid", lambda: 1)  # its parent is another process
    keeper.keep(["touch", str(tmp_path / "begun")], 0.0)
    wait_until(lambda: not keeper.is_running)
    assert not (tmp_path / "begun").exists()
