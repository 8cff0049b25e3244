"""The verbs as OSC messages; whatever else comes is borne."""

import socket

import pytest
from pythonosc.osc_message_builder import build_msg

from fake_daemon import FakeDaemon
from stemd.daemon.control.mixer import MAX_DB, OFF_DB, decibels_at
from stemd.daemon.control.osc import OscServer
from stemd.daemon.errors import StemdError
from waiting import wait_until


@pytest.fixture
def daemon():
    return FakeDaemon()


@pytest.fixture
def port(daemon):
    server = OscServer("127.0.0.1", 0, daemon)
    server.start()
    yield server.port
    server.close()


@pytest.fixture
def send(port):
    """A function that sends a message."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect(("127.0.0.1", port))
        yield lambda address, *values: out.send(build_msg(address, values).dgram)


@pytest.mark.parametrize(
    ("address", "value", "change"),
    [
        ("/stemd/vocals/gain", -6.0, {"gain": -6.0}),
        ("/stemd/vocals/gain", 99, {"gain": MAX_DB}),
        ("/stemd/vocals/gain", -1e6, {"gain": OFF_DB}),
        ("/stemd/vocals/fader", 0.5, {"gain": pytest.approx(decibels_at(0.5))}),
        ("/stemd/vocals/mute", 1, {"mute": True}),
        ("/stemd/vocals/solo", True, {"solo": True}),
    ],
)
def test_each_address_moves_what_it_names(daemon, send, address, value, change):
    send(address, value)
    ((key, wanted),) = change.items()
    wait_until(lambda: getattr(daemon.mixer.strips()["vocals"], key) == wanted)


def test_the_other_verbs(daemon, send):
    send("/stemd/bypass", 1)
    wait_until(lambda: daemon.is_bypassed)
    send("/stemd/bypass", 0)
    wait_until(lambda: not daemon.is_bypassed)
    send("/stemd/stop")
    assert daemon.stopped.wait(10)


@pytest.mark.parametrize(
    ("address", "values"),
    [
        ("/stemd/tuba/gain", [1.0]),
        ("/stemd/vocals/gain", []),
        ("/stemd/vocals/gain", ["loud"]),
        ("/stemd/vocals/gain", [float("nan")]),
        ("/stemd/vocals/gain", [1.0, 2.0]),
        ("/stemd/vocals/pan", [1.0]),
        ("/elsewhere", [1]),
    ],
)
def test_what_makes_no_sense_changes_nothing(daemon, send, address, values):
    before = daemon.mixer.strips()
    send(address, *values)
    send("/stemd/bypass", 1)
    wait_until(lambda: daemon.is_bypassed)
    assert daemon.mixer.strips() == before


def test_what_is_no_osc_is_borne(daemon, port, send):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
        for datagram in (b"", b"\xff" * 100, b"#bundle\0" + b"\xff" * 40, b"/stemd/bypass"):
            noise.sendto(datagram, ("127.0.0.1", port))
    send("/stemd/bypass", 1)
    wait_until(lambda: daemon.is_bypassed)


def test_a_port_that_is_taken_is_one_clear_line(port, daemon):
    with pytest.raises(StemdError, match=rf"cannot listen for OSC on .*{port}.*osc\.port"):
        OscServer("127.0.0.1", port, daemon)
