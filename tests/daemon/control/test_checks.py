"""What a running daemon says of itself, and what is made of it."""

import socket

import pytest

from fake_daemon import FakeDaemon
from statuses import status
from stemd.daemon.control import checks, socket_paths
from stemd.daemon.control.checks import (
    ask_daemon,
    judge_device,
    judge_interfaces,
    judge_status,
    load_in_words,
)
from stemd.daemon.control.client import read_status
from stemd.daemon.control.interfaces.control_server import ControlServer
from stemd.daemon.findings import Finding, Weight

PLAYING = {
    "blocks": {"total": 5000, "late": 1},
    "engine": {"late_periods": 0},
    "load": {"vocals": 0.07, "engine": 0.01},
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where sockets are: that of a daemon of this user's."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(socket_paths, "SYSTEM_FOLDER", tmp_path / "run")
    (tmp_path / "stemd").mkdir()
    return tmp_path / "stemd"


def ask():
    return ask_daemon("auto", "stemd")


def judged(**changes):
    return judge_status(read_status(status(**{**PLAYING, **changes})))


@pytest.fixture
def daemon(folder):
    """One that answers where stemd listens by itself."""
    made = FakeDaemon()
    made.figures = dict(PLAYING)
    server = ControlServer(folder / "stemd.socket", made)
    server.start()
    yield made
    server.close()


def test_no_daemon_is_no_fault(folder):
    assert ask().found == "none runs"
    (folder / "stemd.socket").touch()  # what is left of one
    assert ask().found == "none runs"


def test_one_that_runs_is_asked(daemon):
    assert ask() == read_status(status(**PLAYING))


def test_one_of_another_version_is_told(daemon):
    daemon.raw = {**status(), "version": "9", "blocks": {}}
    found = ask()
    assert isinstance(found, Finding)
    assert "is of another version (9) than this command: restart it" in found.found


def test_one_that_hangs_is_told_soon(folder, monkeypatch):
    monkeypatch.setattr(checks, "ANSWER_S", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(folder / "stemd.socket"))
        listening.listen()
        found = ask()
    assert found.weight is Weight.HINT
    assert "it may hang" in found.found


@pytest.mark.parametrize(
    ("in_effect", "trouble", "found"),
    [
        ("all", None, [Finding("sound device", Weight.GOOD, "all")]),
        ("off", None, [Finding("sound device", Weight.GOOD, "all (starting)")]),
        ("output", "it is older", [Finding("sound device", Weight.HINT, "all; it is older")]),
    ],
)
def test_the_sound_device_is_judged_if_it_is_wanted(in_effect, trouble, found):
    def judge(mode):
        device = {"mode": mode, "in_effect": in_effect, "trouble": trouble}
        return list(judge_device(read_status(status(**PLAYING, device=device))))

    assert judge("all") == found
    assert judge("off") == []


def test_one_that_keeps_up_is_good():
    found = judged()
    assert found.found == "playing on JACK 1.9.21, 1 of 5000 blocks and 0 periods late, 2 xruns"
    assert found.weight is Weight.GOOD
    assert load_in_words(read_status(status(**PLAYING))) == "vocals 7%, engine 1%"


@pytest.mark.parametrize(
    ("what", "figures", "remedy"),
    [
        ("blocks", {"total": 5000, "late": 6}, "stemd bench"),
        ("engine", {"late_periods": 1}, "real-time priority"),
        ("server", {"bad_samples": 3}, "the program before stemd"),
        ("server", {"bad_outputs": 3}, "install its set again"),
        ("blocks", {"total": 50, "late": 0, "bad_estimates": 3}, "install its set again"),
    ],
)
def test_one_that_is_late_gets_a_hint(what, figures, remedy):
    found = judged(**{what: figures})
    assert found.weight is Weight.HINT
    assert remedy in found.remedy


def test_one_that_waits_is_told():
    assert judge_status(read_status(status(server=None))).found == "waiting for a server"


def test_an_interface_that_is_not_open_is_bad():
    read = read_status(status(not_open={"osc": "port 9000 is taken"}))
    (found,) = judge_interfaces(read)
    assert (found.weight, found.about) == (Weight.BAD, "osc")
    assert "port 9000 is taken" in found.found
    assert not list(judge_interfaces(read_status(status())))
