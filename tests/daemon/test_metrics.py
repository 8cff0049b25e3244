"""Figures for Prometheus."""

import socket
import struct
from concurrent.futures import Future
from time import monotonic
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fake_daemon import FakeDaemon
from stemd.daemon.control import metrics
from stemd.daemon.control.metrics import MetricsServer
from stemd.daemon.errors import StemdError

PLAYING = {
    "state": "playing",
    "server": {
        "periods": 10,
        "xruns": 2,
        "bad_samples": 8,
        "bad_outputs": 9,
        "longest_cycle_us": 250.0,
    },
    "delay": {"frames": 22_772, "seconds": 0.474},
    "load": {"vocals": 0.05, "engine": 0.03},
    "blocks": {"total": 100, "late": 3, "bad_estimates": 10},
    "engine": {"late_periods": 4, "late_frames": 5, "lost_frames": 6, "dry_frames": 7},
    "mixer": {"vocals": {"gain": -6.0, "mute": False, "solo": False}},
}


@pytest.fixture
def daemon():
    return FakeDaemon()


@pytest.fixture
def server(daemon):
    made = MetricsServer("127.0.0.1", 0, daemon)
    made.start()
    yield made
    made.close()


def figures(server) -> dict[str, float]:
    with urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as page:
        families = text_string_to_metric_families(page.read().decode())
        return {
            sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }


def test_each_figure_has_its_name(daemon, server):
    daemon.figures = PLAYING
    told = figures(server)
    assert told == {
        "stemd_state[playing]": 1,
        "stemd_delay_seconds": 0.474,
        "stemd_load[vocals]": 0.05,
        "stemd_load[engine]": 0.03,
        "stemd_blocks_total": 100,
        "stemd_late_blocks_total": 3,
        "stemd_periods_total": 10,
        "stemd_xruns_total": 2,
        "stemd_bad_samples_total": 8,
        "stemd_bad_outputs_total": 9,
        "stemd_bad_estimates_total": 10,
        "stemd_late_periods_total": 4,
        "stemd_late_frames_total": 5,
        "stemd_lost_frames_total": 6,
        "stemd_dry_frames_total": 7,
        "stemd_longest_cycle_seconds": 250e-6,
        "stemd_gain_decibels[vocals]": -6,
    }


def test_what_was_wanted_and_granted_is_a_figure(daemon, server):
    roles = {"engine": (65, 65), "steering": (63, 63), "networks": (60, 0)}
    realtime = {
        **{role: {"wanted": w, "granted": g} for role, (w, g) in roles.items()},
        "memory": {"wanted": True, "granted": False},
        "missing": ["real-time priority for networks", "locked memory"],
    }
    daemon.figures = {**PLAYING, "realtime": realtime}
    told = figures(server)
    for role, (wanted, granted) in roles.items():
        assert told[f"stemd_priority_wanted[{role}]"] == wanted
        assert told[f"stemd_priority_granted[{role}]"] == granted
    assert told["stemd_memory_locked"] == 0
    assert told["stemd_rights_missing"] == 2


def test_after_an_answer_nobody_is_answered_for_a_while(daemon, server, monkeypatch):
    daemon.figures, paused = PLAYING, []
    monkeypatch.setattr(metrics, "sleep", paused.append)
    figures(server)
    figures(server)
    assert paused[0] == metrics.PAUSE_S


def test_without_a_server_there_is_the_state(daemon, server):
    daemon.figures = {"state": "waiting", "server": None}
    assert figures(server) == {"stemd_state[waiting]": 1}


def test_a_daemon_that_does_not_tell_is_said(daemon, server, monkeypatch, capfd):
    monkeypatch.setattr(metrics, "ANSWER_S", 0.01)
    daemon.status = Future
    with pytest.raises(HTTPError, match="503") as caught:
        figures(server)
    assert b"stemd does not tell its figures now: it is busy" in caught.value.read()
    assert "Traceback" not in capfd.readouterr().err


def test_a_client_that_is_slow_is_cut_off_and_one_that_leaves_is_no_trouble(
    daemon, server, monkeypatch, capfd
):
    monkeypatch.setattr(metrics, "REQUEST_S", 0.3)
    daemon.figures = {"state": "waiting", "server": None}
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        began = monotonic()
        assert figures(server)
        assert monotonic() - began < 5
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as rude:
            rude.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert figures(server)
    assert "Traceback" not in capfd.readouterr().err


def test_a_port_that_is_taken_is_one_clear_line(server, daemon):
    with pytest.raises(StemdError, match=rf"cannot give metrics on .*{server.port}.*metrics\.port"):
        MetricsServer("127.0.0.1", server.port, daemon)
