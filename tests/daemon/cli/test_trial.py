"""The doctor plays: a daemon of its own, or the one that runs, measured in a real graph."""

import os
import signal
import sys
from dataclasses import replace
from time import monotonic

import pytest

from processes import process_of
from statuses import status
from stemd.daemon.cli import examination, trial
from stemd.daemon.cli.options import ConfigSource
from stemd.daemon.cli.trial import Trial, play, watch
from stemd.daemon.control.client import read_status
from stemd.daemon.errors import StemdError
from stemd.daemon.graph.private_server import private_server
from waiting import wait_until

WELL = Trial("JACK", 5.0, "playing", 234, 234, 0, 54, 0, 0)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The name of a JACK server, which programs find by themselves."""
    for name in ("CONFIG", "DATA", "RUNTIME"):
        monkeypatch.setenv(f"XDG_{name}_{'DIR' if name == 'RUNTIME' else 'HOME'}", str(tmp_path))
    with private_server(48_000, 1024, realtime=False) as name:
        monkeypatch.setenv("JACK_DEFAULT_SERVER", name)
        yield name


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"state": "overloaded"}, "the daemon is overloaded"),
        ({"periods": 200}, "the server played only 200 of 234 periods"),
        ({"xruns": 1}, "1 xrun"),
        ({"late_blocks": 1}, "1 of 54 blocks late"),
        ({"late_periods": 2}, "2 periods late"),
    ],
)
def test_each_fault_is_named(changes, fault):
    assert replace(WELL, **changes).faults == [fault]
    assert str(replace(WELL, **changes)).endswith(fault)


@pytest.mark.parametrize("state", ["playing", "bypassed", "silent"])
def test_without_a_fault_all_is_in_time(state):
    well = replace(WELL, state=state)
    assert well.faults == []
    assert str(well) == "5.0 s on JACK: 234 periods and 54 blocks, all in time"


def test_a_daemon_of_its_own_plays_noise_in_the_graph(server):
    played = play(["--server", "jack", "--preset", "studio"], 1.0)
    assert played.server.startswith("JACK")
    assert played.periods > 0
    assert played.blocks > 0
    assert played.state in ("playing", "overloaded")  # never silent, never without its server


def test_a_server_that_does_not_stay_is_a_fault(server):
    options = ["--server", "jack", "--preset", "studio"]
    measure = trial.watch

    def watch(client, seconds):
        def lose_server(_) -> None:
            os.kill(process_of(server), signal.SIGKILL)
            wait_until(lambda: client.status().server is None)

        patch.setattr(trial, "sleep", lose_server)
        return measure(client, seconds)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(StemdError, match="server went away"):
        patch.setattr(trial, "watch", watch)
        play(options, 2.0)


def test_a_daemon_that_does_not_play_is_named_with_its_last_line(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("jack: {server: nowhere}")
    wanted = r"did not play \(exit code 2\); the daemon's last line: .*server"
    with pytest.raises(StemdError, match=wanted):
        play(["-c", str(path)], 1.0)


def test_a_daemon_that_ends_too_early_is_named_whatever_its_code(monkeypatch):
    monkeypatch.setattr(trial, "_STEMD", (sys.executable, "-c", "pass"))
    with pytest.raises(
        StemdError, match=r"exit code 0\); the daemon's last line: it wrote nothing"
    ):
        play([], 1.0)


def test_a_daemon_that_does_not_end_is_killed(monkeypatch):
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(40)"
    monkeypatch.setattr(trial, "_STEMD", (sys.executable, "-c", deaf))
    monkeypatch.setattr(trial, "START_S", 1.0)
    began = monotonic()
    with pytest.raises(StemdError, match=r"did not play \(within 1 s\)"):
        play([], 1.0)
    assert monotonic() - began < 30


@pytest.mark.parametrize(("xruns", "code"), [(0, None), (3, 1)])
def test_the_exit_code_says_whether_all_is_well(server, monkeypatch, capsys, xruns, code):
    monkeypatch.setattr(examination, "play", lambda *_: replace(WELL, xruns=xruns))
    monkeypatch.setattr(examination, "check_speed", lambda wishes: ())
    ended = None
    try:
        examination.print_findings(ConfigSource(), 1.0, as_json=False)
    except SystemExit as error:
        ended = error.code
    assert ended == code
    assert ("✗ playing" in capsys.readouterr().out) == bool(xruns)


def test_with_no_time_nothing_is_played(server, monkeypatch, capsys):
    monkeypatch.setattr(examination, "play", None)
    monkeypatch.setattr(examination, "check_speed", lambda wishes: ())
    examination.print_findings(ConfigSource(), 0, as_json=False)
    assert "playing" not in capsys.readouterr().out


class Answers:
    """A daemon with these statuses, one after the other."""

    def __init__(self, *answers) -> None:
        self._answers = list(answers)

    def status(self):
        return read_status(self._answers.pop(0))


@pytest.mark.parametrize("after", [{"server": None}, {"server": {"periods": 9}}])
def test_a_server_that_went_away_meanwhile_is_a_fault(after):
    with pytest.raises(StemdError, match="the server went away within"):
        watch(Answers(status(), status(**after)), 0)


def test_a_server_that_was_lost_before_is_a_fault_too():
    with pytest.raises(StemdError, match="the server went away within"):
        watch(Answers(status(server=None), status()), 0)
