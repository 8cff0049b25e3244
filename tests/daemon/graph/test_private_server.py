"""The private server: its rate and priority are those asked for, and it ends with its owner."""

import os
import select
import signal
import subprocess
import sys

import pytest

from processes import options_of, process_of
from stemd.daemon.errors import ServerError
from stemd.daemon.graph import private_server as module
from stemd.daemon.graph.private_server import private_server
from waiting import PATIENCE_S


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


def test_reason_that_jackd_gives_is_told(monkeypatch, tmp_path):
    jackd = tmp_path / "jackd"
    jackd.write_text("#!/bin/sh\necho 'Too many servers already active'\nexit 255\n")
    jackd.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    message = r"did not start \(exit code 255\); it said: Too many servers already active"
    with pytest.raises(ServerError, match=message), private_server():
        pass


def test_killed_servers_leave_room_for_others():
    """libjack has room for eight names, and never gives back that of a server that was killed."""
    for _ in range(9):
        with private_server(realtime=False) as name:
            os.kill(process_of(name), signal.SIGKILL)


def test_names_in_use_are_left_to_their_users():
    with private_server(realtime=False) as one, private_server(realtime=False) as other:
        assert one != other


def test_another_programs_server_of_such_a_name_is_left_alone(monkeypatch):
    with private_server(realtime=False) as foreign:
        monkeypatch.setattr(module.os, "getuid", lambda: 4711)  # so that the lock is another one
        with private_server(realtime=False) as ours:
            assert ours != foreign


def test_no_more_names_is_said(monkeypatch):
    monkeypatch.setattr(module, "NAMES", ("stemd-1",))
    message = "1 private servers are running"
    with (
        private_server(realtime=False),
        pytest.raises(ServerError, match=message),
        private_server(realtime=False),
    ):
        pass


STARTER = """
import time
from stemd.daemon.graph.private_server import private_server
with private_server(realtime=False) as name:
    print(name, flush=True)
    time.sleep(60)
"""


def test_server_ends_with_the_program_that_started_it_even_if_that_is_killed():
    starter = subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE, text=True)
    name = starter.stdout.readline().strip()
    server = os.pidfd_open(process_of(name))
    starter.kill()
    starter.communicate()
    assert select.select([server], [], [], PATIENCE_S)[0], "the server lives on"
    os.close(server)
