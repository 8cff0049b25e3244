"""The verbs as OSC messages; whatever else comes is borne."""

import errno
import re
import socket
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pythonosc.osc_message_builder import build_msg

from fake_daemon import FakeDaemon
from stemd.daemon.control.events import (
    BypassSwitched,
    DelayChanged,
    ReloadEnded,
    StateChanged,
)
from stemd.daemon.control.interfaces import osc_server
from stemd.daemon.control.interfaces.osc_feedback import (
    DELIVER_S,
    LEAST_DB,
    METERS_S,
    MOST_SUBSCRIBERS,
    SUBSCRIBED_S,
    Feedback,
)
from stemd.daemon.control.interfaces.osc_messages import MOST_VALUES, encoded, messages_in
from stemd.daemon.control.interfaces.osc_server import OscServer
from stemd.daemon.control.mixer import MAX_DB, OFF_DB, decibels_at, position_of
from stemd.daemon.control.pace import MESSAGES_PER_S, Pace
from stemd.daemon.errors import StemdError
from stemd.daemon.record_wish import RecordWish
from waiting import PATIENCE_S, wait_until

STEMS = ("vocals", "accompaniment")


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
    send("/stemd/record", 1)
    wait_until(lambda: daemon.is_recording)
    send("/stemd/record", 0)
    wait_until(lambda: not daemon.is_recording)
    send("/stemd/bypass")
    wait_until(lambda: daemon.is_bypassed)
    send("/stemd/record")
    wait_until(lambda: daemon.is_recording)
    send("/stemd/stop")
    assert daemon.stopped.wait(PATIENCE_S)


def test_a_preset_is_changed_by_its_name(daemon, send, caplog):
    for wrong in ("loud", 1):
        send("/stemd/preset", wrong)
    send("/stemd/preset")
    send("/stemd/preset", "live")
    wait_until(lambda: getattr(daemon, "preset", None) == "live")
    assert "OSC: a preset is one of seed, studio, balanced, live, auto (got 'loud')" in caplog.text


def test_a_preset_that_is_refused_is_shown_as_it_was(daemon, surface, caplog):
    daemon.reloaded = StemdError("a reload is under way: wait for its end")
    surface.send("/stemd/subscribe")
    surface.read_until(lambda shown: shown.keys() == ALL)
    surface.shown.clear()
    surface.send("/stemd/preset", "live")
    surface.read_until(lambda shown: shown.get("/stemd/preset") == "balanced")
    assert "OSC: a reload is under way" in caplog.text


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
        ("/stemd/tuba/mute", []),
        ("/stemd/vocals/mute", [1, 2]),
        ("/stemd/record", ["x"]),
        ("/stemd/subscribe", [10**6]),
        ("/stemd/subscribe", [-1]),
        ("/elsewhere", [1]),
    ],
)
def test_what_makes_no_sense_changes_nothing(daemon, send, address, values):
    before = daemon.mixer.strips()
    send(address, *values)
    send("/stemd/bypass", 1)
    wait_until(lambda: daemon.is_bypassed)
    assert daemon.mixer.strips() == before


@pytest.mark.parametrize("what", ["mute", "solo"])
def test_without_a_value_a_switch_changes_over(daemon, send, what):
    for on in (True, False):
        send(f"/stemd/vocals/{what}")
        wait_until(lambda on=on: getattr(daemon.mixer.strips()["vocals"], what) is on)


class Surface:
    """A control surface: its fader's positions, as stemd tells them."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(PATIENCE_S)
        self.port = port
        self.shown: dict[str, object] = {}

    def send(self, address, *values):
        self.socket.sendto(build_msg(address, values).dgram, ("127.0.0.1", self.port))

    def read_until(self, holds):
        while not holds(self.shown):
            (message,) = messages_in(self.socket.recv(1024))
            (self.shown[message.address],) = list(message)


@pytest.fixture
def surface(port):
    made = Surface(port)
    with made.socket:
        yield made


ALL = {
    *(f"/stemd/{stem}/{what}" for stem in STEMS for what in ("gain", "fader", "mute", "solo")),
    *("/stemd/bypass", "/stemd/record", "/stemd/state", "/stemd/preset", "/stemd/delay"),
}


@pytest.mark.parametrize("question", ["/stemd/*", "/stemd/vocals/gain", "/stemd/vocals/fader"])
def test_a_question_has_all_values_as_its_answer(daemon, surface, question):
    daemon.mixer.set("vocals", gain=-6.0, mute=True)
    surface.send(question)
    surface.read_until(lambda shown: shown.keys() == ALL)
    assert surface.shown["/stemd/vocals/gain"] == -6
    assert surface.shown["/stemd/vocals/fader"] == pytest.approx(position_of(-6.0))
    assert surface.shown["/stemd/vocals/mute"] == 1
    assert surface.shown["/stemd/state"] == "playing"
    assert surface.shown["/stemd/preset"] == "balanced"
    assert surface.shown["/stemd/delay"] == 474  # ms


def test_a_daemon_without_a_server_has_no_delay(daemon, surface):
    daemon.figures = {"server": None, "state": "waiting"}
    surface.send("/stemd/*")
    surface.read_until(lambda shown: shown.keys() == ALL - {"/stemd/delay"})


@pytest.mark.parametrize(
    "event",
    [StateChanged("playing"), DelayChanged(7000), ReloadEnded(["separation.preset"], [], None)],
    ids=lambda event: event.event,
)
def test_subscribers_get_all_values_again_where_several_may_have_changed(daemon, surface, event):
    surface.send("/stemd/subscribe")
    surface.read_until(lambda shown: shown.keys() == ALL)
    delay = {"frames": 7000, "seconds": 0.15873}
    daemon.figures = {"preset": "live", "delay": delay}
    daemon.bulletin.publish(event)
    surface.read_until(lambda shown: shown["/stemd/delay"] == 159)
    assert surface.shown["/stemd/preset"] == "live"


def test_meters_are_for_those_who_ask_for_them(daemon, surface, send):
    surface.send("/stemd/subscribe")
    surface.read_until(lambda shown: shown.keys() == ALL)
    surface.send("/stemd/meters")
    surface.read_until(lambda shown: "/stemd/in/level" in shown)
    assert surface.shown["/stemd/in/level"] == pytest.approx(0.8997, abs=1e-4)  # -6.02 dB


def test_subscribers_see_each_change_until_they_leave(daemon, surface, send):
    surface.send("/stemd/subscribe")
    surface.read_until(lambda shown: shown.keys() == ALL)
    daemon.mixer.set("accompaniment", gain=-3.0, solo=True)
    surface.read_until(lambda shown: shown["/stemd/accompaniment/solo"] == 1)
    assert surface.shown["/stemd/accompaniment/gain"] == -3
    daemon.bypass(True)
    surface.read_until(lambda shown: shown["/stemd/bypass"] == 1)
    daemon.record(True, RecordWish())
    surface.read_until(lambda shown: shown["/stemd/record"] == 1)
    daemon.bulletin.publish(StateChanged("overloaded"))
    surface.read_until(lambda shown: shown["/stemd/state"] == "overloaded")
    surface.send("/stemd/unsubscribe")
    surface.send("/stemd/vocals/mute")
    wait_until(lambda: daemon.mixer.strips()["vocals"].mute)
    surface.socket.settimeout(4 * DELIVER_S)
    with pytest.raises(TimeoutError):
        surface.read_until(lambda shown: shown["/stemd/vocals/mute"] == 1)


def test_answers_go_to_another_port_where_that_is_wished(daemon, surface, send):
    send("/stemd/subscribe", surface.socket.getsockname()[1])
    surface.read_until(lambda shown: shown.keys() == ALL)
    daemon.mixer.set("vocals", mute=True)
    surface.read_until(lambda shown: shown["/stemd/vocals/mute"] == 1)


class TestFeedback:
    @pytest.fixture
    def sent(self):
        return []

    @pytest.fixture
    def feedback(self, daemon, sent):
        self.now = 0.0
        made = Feedback(daemon, lambda _, client: sent.append(client), lambda: self.now)
        with daemon.bulletin.subscription(made.note):
            yield made

    def deliver(self, feedback):
        self.now += DELIVER_S
        feedback.deliver()

    def test_of_a_flood_of_changes_the_last_values_are_sent_once(self, daemon, feedback, sent):
        feedback.subscribe(("a", 1))
        self.deliver(feedback)
        sent.clear()
        for gain in range(-50, 0):
            daemon.mixer.set("vocals", gain=float(gain))
            feedback.deliver()
        assert not sent
        self.deliver(feedback)
        assert len(sent) == 4

    def test_the_oldest_subscriber_gives_way(self, feedback, sent):
        for number in range(MOST_SUBSCRIBERS + 1):
            feedback.subscribe(("a", number))
        self.deliver(feedback)
        sent.clear()
        feedback.note(BypassSwitched(True))
        self.deliver(feedback)
        assert sent == [("a", number) for number in range(1, MOST_SUBSCRIBERS + 1)]

    def test_who_sends_nothing_for_an_hour_is_forgotten(self, feedback, sent):
        feedback.subscribe(("a", 1))
        feedback.subscribe(("b", 1))
        self.now += SUBSCRIBED_S / 2
        feedback.renew("b")
        self.now += SUBSCRIBED_S / 2
        self.deliver(feedback)
        sent.clear()
        feedback.note(BypassSwitched(True))
        self.deliver(feedback)
        assert sent == [("b", 1)]

    def test_levels_come_in_their_time(self, daemon, feedback, sent):
        feedback.subscribe(("a", 1), with_levels=True)
        feedback.subscribe(("b", 1))
        self.deliver(feedback)
        sent.clear()
        for _ in range(round(10 * METERS_S / DELIVER_S)):
            self.deliver(feedback)
        assert sent == 10 * [("a", 1)]

    @pytest.mark.parametrize(
        ("peak", "shown"), [(0.0, 0), (1e-9, 0), (10 ** (LEAST_DB / 40), 0.5), (1.0, 1), (9.0, 1)]
    )
    def test_a_level_is_a_share_of_the_meter(self, daemon, peak, shown):
        made = []
        feedback = Feedback(daemon, lambda data, _: made.extend(messages_in(data)), lambda: 1.0)
        daemon.peaks = lambda: {"drums": [0.0, peak]}
        feedback.subscribe(("a", 1), with_levels=True)
        feedback.deliver()
        (level,) = (list(each) for each in made if each.address == "/stemd/drums/level")
        assert level == [pytest.approx(shown)]

    def test_meters_fall_where_there_are_no_more_levels(self, daemon):
        made = []
        feedback = Feedback(
            daemon, lambda data, _: made.extend(messages_in(data)), lambda: self.now
        )
        self.now = 0.0
        feedback.subscribe(("a", 1), with_levels=True)
        for peaks in ({"in": [1.0, 1.0]}, {}, {}):
            daemon.peaks = lambda peaks=peaks: peaks
            self.now += METERS_S
            feedback.deliver()
        levels = [list(each) for each in made if each.address == "/stemd/in/level"]
        assert levels == [[1.0], [0.0]]

    def test_without_subscribers_nothing_is_kept(self, feedback):
        feedback.note(BypassSwitched(True))
        assert not feedback._changes
        assert feedback.patience_s(9) == 9


@given(
    st.text("/abcdefgh", min_size=1, max_size=30).map("/{}".format),
    st.integers(-(2**31), 2**31 - 1) | st.floats(width=32, allow_nan=False) | st.text("xyz"),
)
def test_what_is_sent_is_read_as_it_was_meant(address, value):
    (message,) = messages_in(encoded(address, value))
    assert message.address == address
    assert list(message) == [value]


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


def like_messages(address: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes that have the shape of a message, but perhaps not its meaning."""
    padded = lambda text: text + b"\0" * (4 - len(text) % 4)  # noqa: E731
    tags = st.text("ifdhsTFbQ[,", max_size=10).map(lambda text: f",{text}".encode())
    values = st.binary(max_size=60)
    return st.tuples(address.map(padded), tags.map(padded), values).map(b"".join)


@given(st.binary(max_size=200) | like_messages(st.binary(max_size=20)))
@example(b"\0\0\0\0")
@example(b"\0\0\0\0,\0\0\0")
@example(b"stemd\0\0\0,i\0\0\0\0\0\1")
def test_any_datagram_is_messages_or_none(datagram):
    for message in filter(None, (*messages_in(datagram), *messages_in(bundle(datagram)))):
        assert message.address.startswith("/")
        assert len(list(message)) <= MOST_VALUES


def test_bundles_are_heard_whatever_time_they_name(daemon, port):
    gain = build_msg("/stemd/vocals/gain", [-6.0]).dgram
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(bundle(gain, BYPASS, time=IN_A_CENTURY), ("127.0.0.1", port))
    wait_until(lambda: daemon.is_bypassed)
    assert daemon.mixer.strips()["vocals"].gain == -6


def test_a_datagram_of_reloads_leaves_it_responsive(daemon, port, send):
    """When to reload, and that once is enough, is up to the daemon."""
    reload = build_msg("/stemd/reload", []).dgram
    began = monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(bundle(*42 * [reload]), ("127.0.0.1", port))
    send("/stemd/bypass", 1)
    wait_until(lambda: daemon.is_bypassed)
    assert daemon.reloads == 42
    assert monotonic() - began < 10


def test_a_port_that_is_taken_is_one_clear_line(port, daemon):
    with pytest.raises(StemdError, match=rf"cannot listen for OSC on .*{port}.*osc\.port"):
        OscServer("127.0.0.1", port, daemon)


def test_many_values_and_other_types_are_not_read(caplog):
    most = b"/a\0\0," + MOST_VALUES * b"T"
    assert [list(each) for each in messages_in(most + b"\0\0\0")] == [MOST_VALUES * [True]]
    assert list(messages_in(most + b"T\0\0")) == [None]
    assert list(messages_in(b"/a\0\0,Q\0\0")) == [None]
    assert list(messages_in(b"/a\0\0,,\0\0")) == [None]
    assert not caplog.messages, "python-osc tells the root logger of each type it does not know"


@pytest.mark.parametrize("sent", [20 * [b"\xff"], [bundle(*20 * [b""])], [bundle(*20 * [BYPASS])]])
def test_whatever_comes_is_looked_at_in_its_turn(daemon, sent):
    """As on the control socket, so that noise does not take the interpreter from the music."""
    server = OscServer("127.0.0.1", 0, daemon, Pace(per_s=100))
    server.start()
    began = monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for datagram in [*sent, build_msg("/stemd/vocals/mute", [1]).dgram]:
            out.sendto(datagram, ("127.0.0.1", server.port))
    wait_until(lambda: daemon.mixer.strips()["vocals"].mute)
    assert monotonic() - began >= 0.2
    server.close()


def test_messages_are_heard_as_fast_as_the_document_says(daemon, port):
    """500 a second, in one datagram or in many."""
    told = []
    gain = [build_msg("/stemd/vocals/gain", [float(n % 10)]).dgram for n in range(200)]
    with (
        daemon.bulletin.subscription(lambda _: told.append(monotonic())),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out,
    ):
        for begin in range(0, 100, 20):
            out.sendto(bundle(*gain[begin : begin + 20]), ("127.0.0.1", port))
        for message in gain[100:]:
            out.sendto(message, ("127.0.0.1", port))
        wait_until(lambda: len(told) == 200)
    # The first may have come late in its turn.
    assert told[-1] - told[0] >= 198 / MESSAGES_PER_S - 0.001
    text = (Path(__file__).parents[4] / "docs" / "control.md").read_text()
    assert len(re.findall(rf"{MESSAGES_PER_S:.0f}\s+requests\s+per\s+second", text)) == 1


def test_an_error_that_stays_is_said_and_keeps_nothing_busy(daemon, caplog, monkeypatch):
    tries = []

    class Broken:
        def settimeout(self, _):
            pass

        def recvfrom(self, _):
            tries.append(monotonic())
            raise OSError(errno.ENETDOWN, "Network is down")

        def close(self):
            pass

    monkeypatch.setattr(osc_server, "LOOK_S", 0.05)
    server = OscServer("127.0.0.1", 0, daemon)
    server._socket.close()
    server._socket = Broken()
    server.start()
    wait_until(lambda: len(tries) >= 4)
    server.close()
    assert tries[3] - tries[0] >= 3 * 0.05
    assert "OSC: nothing can be received: Network is down" in caplog.text


@pytest.mark.parametrize("host", ["\0", 70 * "\u00fc", "192.0.2.1"])
def test_a_host_that_cannot_be_is_one_clear_line(daemon, host):
    with pytest.raises(StemdError, match=r"(?s)cannot listen for OSC on .*osc\.host"):
        OscServer(host, 9000, daemon)
