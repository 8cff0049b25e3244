"""Figures for Prometheus."""

import re
import socket
import struct
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fake_daemon import FakeDaemon, done
from statuses import status
from stemd.daemon.control.client import read_status
from stemd.daemon.control.interfaces import metrics_server
from stemd.daemon.control.interfaces.metrics_server import MAX_CLIENTS, MetricsServer
from stemd.daemon.control.pace import Pace
from stemd.daemon.errors import StemdError
from waiting import PATIENCE_S, wait_until

PLAYING = {
    "server": {"bad_samples": 8, "bad_outputs": 9},
    "load": {"vocals": 0.05, "engine": 0.03},
    "blocks": {"bad_estimates": 10},
    "mixer": {"vocals": {"gain": -6.0, "mute": False, "solo": False}},
}
WAITING = {"server": None, "networks": None}


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
    with urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=PATIENCE_S) as page:
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
        "stemd_networks[2stems]": 1,
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
        "stemd_priority_wanted[engine]": 65,
        "stemd_priority_wanted[steering]": 63,
        "stemd_priority_wanted[networks]": 60,
        "stemd_priority_granted[engine]": 65,
        "stemd_priority_granted[steering]": 63,
        "stemd_priority_granted[networks]": 60,
        "stemd_memory_locked": 1,
        "stemd_rights_missing": 0,
        "stemd_gain_decibels[vocals]": -6,
    }


def test_the_document_names_every_metric(daemon, server):
    daemon.figures = PLAYING
    text = (Path(__file__).parents[4] / "docs" / "control.md").read_text()
    section = text.partition("## Prometheus")[2].partition("\n## ")[0]
    served = {name.partition("[")[0] for name in figures(server)}
    assert set(re.findall(r"`(stemd_\w+)`", section)) == served


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


def test_all_who_ask_at_about_the_same_time_get_what_the_daemon_told_once(
    daemon, server, monkeypatch
):
    monkeypatch.setattr(metrics_server, "SNAPSHOT_S", 60)
    asked, answer = [], Future()
    daemon.status = lambda: asked.append(None) or answer
    with ThreadPoolExecutor(8) as pool:
        told = [pool.submit(figures, server) for _ in range(8)]
        wait_until(lambda: asked)
        answer.set_result(read_status(status(**PLAYING)))
        assert all(each.result(PATIENCE_S)["stemd_blocks_total"] == 100 for each in told)
    assert figures(server)["stemd_blocks_total"] == 100
    assert len(asked) == 1


def test_figures_are_as_old_as_a_snapshot_at_most(daemon, server, monkeypatch):
    monkeypatch.setattr(metrics_server, "SNAPSHOT_S", 0)
    daemon.figures = PLAYING
    figures(server)
    daemon.figures = WAITING
    assert figures(server) == {"stemd_state[waiting]": 1}


def test_an_answer_that_failed_is_not_given_again(daemon, server, monkeypatch):
    monkeypatch.setattr(metrics_server, "SNAPSHOT_S", 0)
    daemon.status = lambda: done(StemdError("stemd is ending"))
    with pytest.raises(HTTPError, match="503"):
        figures(server)
    del daemon.status
    daemon.figures = PLAYING
    assert figures(server)["stemd_blocks_total"] == 100


def test_requests_take_turns(daemon):
    made = MetricsServer("127.0.0.1", 0, daemon, Pace(per_s=20))
    made.start()
    daemon.figures = PLAYING
    began = monotonic()
    for _ in range(5):
        figures(made)
    assert monotonic() - began >= 0.2
    made.close()


def test_without_a_server_there_is_the_state(daemon, server):
    daemon.figures = WAITING
    assert figures(server) == {"stemd_state[waiting]": 1}


def test_a_daemon_that_does_not_tell_is_said(daemon, server, monkeypatch, capfd):
    monkeypatch.setattr(metrics_server, "ANSWER_S", 0.01)
    daemon.status = Future
    with pytest.raises(HTTPError, match="503") as caught:
        figures(server)
    assert b"stemd has no figures now: it is busy" in caught.value.read()
    assert "Traceback" not in capfd.readouterr().err


def test_a_client_that_is_slow_is_cut_off_and_one_that_leaves_is_no_trouble(
    daemon, server, monkeypatch, capfd
):
    daemon.figures = WAITING
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        assert slow.recv(100) == b""
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as rude:
            rude.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert figures(server)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("tricklers", [6, 2 * MAX_CLIENTS])
def test_connections_that_trickle_delay_no_other(daemon, server, monkeypatch, tricklers):
    """Also where nothing else ends them, and where they come again and again."""
    monkeypatch.setattr(metrics_server, "HEAD_S", 3600)
    daemon.figures = PLAYING
    with ExitStack() as stack:
        for _ in range(tricklers):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            one.sendall(b"GET /")
        assert figures(server)["stemd_blocks_total"] == 100
        wait_until(lambda: len(server._streams.clients) <= MAX_CLIENTS)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 Method Not Allowed"),
        (b"\xff\r\n\r\n", b"HTTP/1.1 405 Method Not Allowed"),
        (b"GET / HTTP/1.1\r\nX: " + 10_000 * b"x", b""),
        (b"", b""),
    ],
    ids=range(5),
)
def test_what_is_no_question_for_figures(daemon, server, request_, answer):
    daemon.figures = PLAYING
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as client:
        client.sendall(request_)
        client.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError), client.makefile("rb") as reply:
            assert reply.readline().rstrip() == answer
            assert answer[9:12] != b"200" or not reply.read().partition(b"\r\n\r\n")[2]
    assert figures(server)


def test_figures_that_cannot_be_made_are_an_error_with_a_cause_in_the_log(daemon, server, caplog):
    daemon.raw = {"state": "playing", "server": {}}
    with pytest.raises(HTTPError, match="500"):
        figures(server)
    assert "AttributeError" in caplog.text


def test_a_port_that_is_taken_is_one_clear_line(server, daemon):
    with pytest.raises(
        StemdError, match=rf"cannot serve metrics on .*{server.port}.*metrics\.port"
    ):
        MetricsServer("127.0.0.1", server.port, daemon)
