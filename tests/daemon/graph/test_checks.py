"""What is checked of servers, their libraries and the ports."""

import socket
from dataclasses import replace

import pytest

from stemd.daemon.control.replies import PortMatches
from stemd.daemon.engine import checks as engine_checks
from stemd.daemon.engine import rights
from stemd.daemon.engine.realtime import RealtimeSide
from stemd.daemon.findings import Weight
from stemd.daemon.graph import libjack
from stemd.daemon.graph.checks import check_absence, check_server, judge_disconnected, judge_matches
from stemd.daemon.graph.private_server import private_server


@pytest.fixture(autouse=True)
def _no_server_but_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "nobody")
    for name in ("PIPEWIRE_REMOTE", "PIPEWIRE_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(engine_checks, "may_have_priority", lambda priority: True)


def test_server_is_told_with_its_rate_period_and_priority(monkeypatch):
    monkeypatch.setattr(rights, "has_capability", lambda number: True)
    with private_server(48_000, 128, realtime=False) as name:
        (found,) = check_server("jack", name, 1024, {})
    assert "48000 Hz, 128 frames a period, without real-time priority" in found.found
    assert found.found.startswith("JACK ")
    assert found.weight is Weight.HINT
    assert "-R" in found.remedy


def test_limit_too_low_for_the_server_is_a_hint_with_what_is_wanted(monkeypatch):
    monkeypatch.setattr(engine_checks, "may_have_priority", lambda priority: priority <= 10)
    counters = RealtimeSide.counters
    monkeypatch.setattr(
        RealtimeSide, "counters", lambda rt: replace(counters(rt), priority=30, periods=1)
    )
    with private_server(realtime=False) as name:
        (found,) = check_server("jack", name, 1024, {})
    assert "may not have the 25 that it wants" in found.found
    assert found.weight is Weight.HINT


def test_a_server_that_is_not_there_gives_no_finding():
    assert list(check_server("jack", None, 1024, {})) == []


def test_without_a_server_stemd_cannot_play():
    found, *_ = check_absence("jack", None)
    assert found.weight is Weight.BAD
    assert "waits for one" in found.remedy


def test_a_private_server_is_started_by_the_daemon():
    assert list(check_absence("dummy", None)) == []


def test_periods_beyond_the_longest_are_told():
    with private_server(blocksize=2048, realtime=False) as name:
        _, found = check_server("jack", name, 1024, {})
    assert "2048 frames are longer than jack.longest_period (1024)" in found.found


def test_missing_library_is_bad(monkeypatch):
    monkeypatch.setattr(libjack, "libraries", list)
    (found,) = check_absence("auto", None)
    assert (found.about, found.weight) == ("client library", Weight.BAD)
    assert "install" in found.found


def test_pipewire_without_its_library_is_bad_and_the_command_is_told(tmp_path, monkeypatch):
    jack = [each for each in libjack.libraries() if each.kind == "jack"]
    monkeypatch.setattr(libjack, "libraries", lambda: jack)
    with socket.socket(socket.AF_UNIX) as pipewire:
        pipewire.bind(str(tmp_path / "pipewire-0"))
        pipewire.listen()
        found, *_ = check_absence("auto", None)
    assert found.weight is Weight.BAD
    assert "PipeWire runs, but its client library (libjack.so.0)" in found.found
    assert "pipewire-jack" in found.found


def test_what_patterns_match_is_found_in_the_graph():
    patterns = {"in_L": "system:capture_[1]", "vocals_L": "system:playbak_1"}
    with private_server(realtime=False) as name:
        _, *found = check_server("jack", name, 1024, patterns)
    assert [each.found for each in found] == [
        "jack.autoconnect.in_L: 'system:capture_[1]' matches system:capture_1",
        "jack.autoconnect.vocals_L: 'system:playbak_1' matches no port; the nearest: "
        "system:playback_1, system:playback_2",
    ]


def test_a_pattern_that_matches_nothing_is_a_hint():
    matching, lacking = judge_matches(
        {
            "in_L": PortMatches(pattern="mpv:.*", matches=["mpv:out_0"], nearest=[]),
            "in_R": PortMatches(pattern="mpv:outR", matches=[], nearest=["mpv:out_0"]),
        }
    )
    assert matching.found == "jack.autoconnect.in_L: 'mpv:.*' matches mpv:out_0"
    assert matching.weight is Weight.GOOD
    assert lacking.found == (
        "jack.autoconnect.in_R: 'mpv:outR' matches no port; the nearest: mpv:out_0"
    )
    assert lacking.weight is Weight.HINT


def test_what_was_disconnected_is_a_hint():
    (found,) = judge_disconnected([("mpv:out_0", "stemd:in_L")])
    assert found.found == "mpv:out_0 to stemd:in_L was disconnected, and is left so"
    assert "stemd reload" in found.remedy
