"""The verbs as OSC messages; whatever else comes is borne."""

import socket
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_message_builder import build_msg

from fake_daemon import FakeDaemon
from stemd.daemon.control import osc
from stemd.daemon.control.mixer import MAX_DB, OFF_DB, decibels_at
from stemd.daemon.control.osc import RELOAD_PAUSE_S, OscServer
from stemd.daemon.control.osc_messages import MOST_VALUES, messages_in
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
        ("/stemd/vocals/gain", 12, {"gain": MAX_DB}),
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
        ("/stemd/vocals/gain", [12.1]),
        ("/stemd/vocals/fader", [127]),
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


def bundle(*elements: bytes, time: int = 1) -> bytes:
    sizes = [len(element).to_bytes(4, "big") for element in elements]
    parts = [part for pair in zip(sizes, elements, strict=True) for part in pair]
    return b"#bundle\0" + time.to_bytes(8, "big") + b"".join(parts)


BYPASS = build_msg("/stemd/bypass", [1]).dgram
IN_A_CENTURY = 2**63


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\xff" * 100,
        b"#bundle\0" + b"\xff" * 40,
        bundle() + (2**32 - 4).to_bytes(4, "big"),
        b"/stemd/bypass",
        build_msg("/stemd/a/b/gain", [1.0]).dgram,
        build_msg("/stemd/" + 1000 * "*" + "x", [1]).dgram,
        build_msg("/stemd/*", []).dgram,
        build_msg("/stemd/?top", []).dgram,
        bundle(bundle(bundle(BYPASS))),
        b"/stemd/bypass\0\0\0,[[[\0\0\0\0",
        b"/stemd/bypass\0\0\0," + 900 * b"Q",
        b"\xff/a\0,i\0\0\0\0\0\1",
    ],
    ids=range(13),
)
def test_what_is_no_osc_or_nothing_for_us_is_borne(daemon, port, send, datagram):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
        noise.sendto(datagram, ("127.0.0.1", port))
    send("/stemd/vocals/mute", 1)
    wait_until(lambda: daemon.mixer.strips()["vocals"].mute)
    assert not daemon.is_bypassed
    assert not daemon.stopped.is_set()


@given(st.binary(max_size=200))
def test_any_datagram_is_messages_or_none(datagram):
    for message in messages_in(datagram):
        assert message.address.startswith("/")
    list(messages_in(bundle(datagram)))


def test_bundles_are_heard_whatever_time_they_name(daemon, port):
    gain = build_msg("/stemd/vocals/gain", [-6.0]).dgram
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(bundle(gain, BYPASS, time=IN_A_CENTURY), ("127.0.0.1", port))
    wait_until(lambda: daemon.is_bypassed)
    assert daemon.mixer.strips()["vocals"].gain == -6


def test_a_reload_is_done_and_not_again_at_once(daemon, send):
    reloads = []
    daemon.reload = lambda: reloads.append(monotonic())
    send("/stemd/reload")
    send("/stemd/reload")
    send("/stemd/bypass", 1)
    wait_until(lambda: daemon.is_bypassed)
    first, second = reloads
    assert second - first >= RELOAD_PAUSE_S


def test_a_port_that_is_taken_is_one_clear_line(port, daemon):
    with pytest.raises(StemdError, match=rf"cannot listen for OSC on .*{port}.*osc\.port"):
        OscServer("127.0.0.1", port, daemon)


def test_many_values_and_other_types_are_not_read(caplog):
    most = b"/a\0\0," + MOST_VALUES * b"T"
    assert [list(each) for each in messages_in(most + b"\0\0\0")] == [MOST_VALUES * [True]]
    assert not list(messages_in(most + b"T\0\0"))
    assert not list(messages_in(b"/a\0\0,Q\0\0"))
    assert not caplog.messages, "python-osc tells the root logger of each type it does not know"


def test_noise_does_not_take_the_interpreter_from_the_music(daemon, port, send, monkeypatch):
    monkeypatch.setattr(osc, "PAUSE_S", 0.01)
    began = monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
        for _ in range(20):
            noise.sendto(b"\xff", ("127.0.0.1", port))
    send("/stemd/bypass", 1)
    wait_until(lambda: daemon.is_bypassed)
    assert monotonic() - began >= 0.2


@pytest.mark.parametrize("host", ["\0", 70 * "\u00fc", "192.0.2.1"])
def test_a_host_that_cannot_be_is_one_clear_line(daemon, host):
    with pytest.raises(StemdError, match=r"(?s)cannot listen for OSC on .*osc\.host"):
        OscServer(host, 9000, daemon)
