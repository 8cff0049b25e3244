"""The private server takes real-time priority only where the user may have it."""

import os
from pathlib import Path

import pytest

from stemd.daemon import private_server as module
from stemd.daemon.private_server import private_server


def options_of(name: str) -> list[str]:
    for folder in Path("/proc").glob("[0-9]*"):
        command = (folder / "cmdline").read_text().split("\0")
        if command[0].endswith("jackd") and name in command:
            return command[1:]
    raise AssertionError(f"no jackd named {name}")


def test_realtime_is_not_asked_for_where_it_is_refused(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(module.os, "sched_setscheduler", refuse)
    with private_server() as name:
        assert "-r" in options_of(name)[:5]
        assert "-R" not in options_of(name)


@pytest.mark.parametrize("realtime", [True, False])
def test_realtime_is_asked_for_where_it_is_wished_and_granted(realtime, monkeypatch):
    monkeypatch.setattr(module.os, "sched_setscheduler", lambda *_: None)
    before = os.sched_getscheduler(0)
    with private_server(realtime=realtime) as name:
        assert ("-R" in options_of(name)) == realtime
    assert os.sched_getscheduler(0) == before


def test_rate_and_period_are_as_asked_for_and_the_server_ends():
    with private_server(48_000, 128, realtime=False) as name:
        options = options_of(name)
        assert options[options.index("dummy") + 1 :][:4] == ["-r", "48000", "-p", "128"]
    with pytest.raises(AssertionError, match="no jackd"):
        options_of(name)
