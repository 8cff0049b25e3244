"""The control socket: every reply is right or a clear error, whoever the clients are."""

import gc
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_daemon import FakeDaemon
from processes import end
from statuses import status
from stemd.daemon.control import client as client_module
from stemd.daemon.control import protocol
from stemd.daemon.control.client import ControlClient
from stemd.daemon.control.events import (
    BypassSwitched,
    DelayChanged,
    MetersRead,
    StateChanged,
    StripChanged,
)
from stemd.daemon.control.interfaces import control_server, conversation, streams
from stemd.daemon.control.interfaces.control_server import MAX_CLIENTS, ControlServer
from stemd.daemon.control.pace import Pace
from stemd.daemon.control.protocol import LONGEST_LINE, RequestError
from stemd.daemon.errors import StemdError
from stemd.daemon.graph.server_watch import open_sockets
from stemd.daemon.ports import STEMS
from stemd.daemon.record_wish import RecordWish
from waiting import PATIENCE_S, wait_until

PLAYING = status()


@pytest.fixture
def daemon():
    return FakeDaemon()


@pytest.fixture
def path(daemon, tmp_path):
    listening = ControlServer(tmp_path / "run" / "stemd.socket", daemon)
    listening.start()
    yield listening.path
    listening.close()
    assert not listening.path.exists()


@pytest.fixture
def client(path):
    with ControlClient(path) as client:
        yield client


class Raw:
    """A client that sends what it likes."""

    def __init__(self, path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(str(path))
        self._lines = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self):
        line = self._lines.readline()
        return json.loads(line) if line else None

    def close(self) -> None:
        self._lines.close()
        self.socket.close()


@pytest.fixture
def raw(path):
    made = []

    def make():
        made.append(Raw(path))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_the_socket_belongs_to_its_owner_alone(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.stat().st_uid == os.getuid()


def test_a_client_of_another_user_is_refused(raw, monkeypatch):
    monkeypatch.setattr(control_server, "_is_owner", lambda _: False)
    stranger = raw()
    assert stranger.reply() is None


def test_each_verb_reaches_the_daemon(client, daemon):
    assert client.ask("status") == PLAYING
    assert client.ask("set", stem="vocals", gain=-6) == {"gain": -6, "mute": False, "solo": False}
    assert daemon.levels == {"vocals": pytest.approx(0.501, abs=1e-3), "accompaniment": 1}
    assert client.ask("set", stem="vocals", mute=True)["gain"] == -6
    assert daemon.levels["vocals"] == 0
    assert client.ask("bypass") == {"on": True}
    assert client.ask("bypass", on=False) == {"on": False}
    assert client.ask("device", mode="all")["mode"] == "all"
    assert client.ask("device") == {"mode": "all", "in_effect": "off", "trouble": None}
    wish = {"folder": "/takes", "format": "flac", "before_faders": True, "auto": True}
    assert client.ask("record", on=True, **wish)["folder"] == "/takes"
    assert daemon.record_wish == RecordWish(**wish)
    assert not client.ask("record")["on"]
    assert client.ask("reload") == {"changed": [], "at_next_start": []}
    assert not daemon.stopped.is_set()
    assert client.ask("stop") == {}
    assert daemon.stopped.is_set()


def test_what_fails_in_an_unforeseen_way_is_an_error_and_the_connection_stays(
    client, daemon, caplog
):
    def status():
        raise ZeroDivisionError

    daemon.status = status
    with pytest.raises(StemdError, match="ZeroDivisionError: the log has the details"):
        client.ask("status")
    assert "Traceback" in caplog.text
    assert client.ask("bypass") == {"on": True}


def test_what_takes_too_long_goes_on(client, daemon, monkeypatch):
    monkeypatch.setattr(conversation, "ANSWER_S", 0.05)
    answer = Future()
    daemon.reload = lambda _: answer
    with pytest.raises(StemdError, match="still under way"):
        client.ask("reload")
    assert not answer.cancelled()
    answer.set_result({})


def test_events_that_come_before_a_reply_are_not_lost(client, daemon):
    events = client.events()
    daemon.bulletin.publish(DelayChanged(100))
    client.ask("bypass")
    assert [next(events) for _ in range(2)] == [DelayChanged(100), BypassSwitched(True)]


def test_the_end_with_clients_says_nothing_on_standard_error(daemon, tmp_path, capfd):
    for _ in range(100):  # it ends in the midst of an answer, too
        listening = ControlServer(tmp_path / "s", daemon)
        listening.start()
        with ControlClient(tmp_path / "s") as client:
            client.ask("subscribe", meters=0.02)
            listening.close()
    assert not capfd.readouterr().err


def test_a_client_accepted_while_it_ends_is_closed(daemon, tmp_path, caplog):
    for _ in range(50):
        listening = ControlServer(tmp_path / "s", daemon)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(5)]
        for each in waiting:
            each.connect(str(tmp_path / "s"))
        listening.start()
        listening.close()  # and what is not closed then warns, which fails a test
        for each in waiting:
            each.close()
    del listening
    gc.collect()
    assert not caplog.text


def test_a_refusal_says_why(client, daemon):
    daemon.reloaded = StemdError("separation.preset: must be …")
    with pytest.raises(StemdError, match=r"separation\.preset: must be"):
        client.ask("reload")
    with pytest.raises(StemdError, match=r"no stem bass now \(there are: vocals, accompaniment\)"):
        client.ask("set", stem="bass", mute=True)


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (b"hello", "json", "a request must be a line of JSON: Expecting value"),
        (b"\xff\xfe", "json", "a request must be a line of JSON"),
        (b"[" * 4_000, "json", "a request must be a line of JSON"),
        (b"1" * 4_000, "request", "must be an object"),
        (b"[]", "request", 'must be an object: {"do": "status"}'),
        (
            b"{}",
            "request",
            "do: must be one of bypass, device, learn, login, record, reload, set, status, stop, "
            "subscribe",
        ),
        (b'{"do": "fly"}', "request", "do: must be one of"),
        (b'{"do": "set"}', "request", "stem: is missing"),
        (b'{"do": "record", "folder": "takes"}', "request", "folder: must be an absolute path"),
        (b'{"do": "set", "stem": "tuba"}', "request", "stem: must be 'vocals', 'drums'"),
        (
            b'{"do": "set", "stem": "bass", "gain": NaN}',
            "request",
            "gain: must be a finite number (got nan)",
        ),
        (
            b'{"do": "set", "stem": "bass", "gain": 99}',
            "request",
            "gain: must be at most 12 (got 99)",
        ),
        (
            b'{"do": "set", "stem": "bass", "mute": 1}',
            "request",
            "mute: must be true or false (got 1)",
        ),
        (b'{"do": "stop", "now": true}', "request", "now: unknown key"),
        *(
            (b'{"do": "stop", "id": %s}' % id, "request", "id: must be a whole number, or text of")
            for id in (b"true", b"1.5", b"[]", b"%d" % 2**60)
        ),
        (b'{"do": "subscribe", "meters": 0}', "request", "meters: must be at least 0.02"),
    ],
)
def test_what_is_no_request_is_refused_and_the_next_one_is_answered(raw, line, code, message):
    client = raw()
    client.send(line + b'\n{"do": "status", "id": 7}\n')
    told = client.reply()
    assert not told["ok"]
    assert told["error"]["code"] == code
    assert message in told["error"]["message"]
    assert client.reply() == {"id": 7, "ok": True, "result": PLAYING}


def test_a_refusal_has_the_requests_id_where_it_can_be_read(raw):
    client = raw()
    for id, back in (("a", "a"), (5, 5), ([], None), ("x" * 65, None), (2**60, None)):
        client.send(json.dumps({"do": "fly", "id": id}).encode() + b"\n")
        assert client.reply()["id"] == back


def test_a_line_that_does_not_end_is_cut_short(raw):
    client = raw()
    client.send(b"x" * (3 * LONGEST_LINE))
    assert client.reply()["error"]["code"] == "long"
    assert client.reply() is None


def test_events_reach_all_who_subscribed(path, daemon):
    with ControlClient(path) as one, ControlClient(path) as other, ControlClient(path) as deaf:
        told = [one.events(), other.events()]
        deaf.ask("set", stem="vocals", solo=True)
        for events in told:
            assert next(events) == StripChanged("vocals", 0.0, mute=False, solo=True)


def test_meters_come_as_often_as_was_asked(client):
    events = client.events(meters_s=0.02)
    for _ in range(3):
        assert next(events) == MetersRead({"in": [0.5, 0.25]})


def test_a_client_that_does_not_read_misses_events_and_delays_no_other(raw, client, daemon):
    slow = raw()
    slow.send(b'{"do": "subscribe"}\n')
    assert slow.reply()["ok"]
    for _ in range(20_000):
        daemon.bulletin.publish(StateChanged("playing" * 10))
    assert client.ask("status") == PLAYING
    for n in range(20_000):
        if n % 10 == 0:
            daemon.bulletin.publish(StateChanged("playing"))
        if "left_out" in slow.reply():
            return
    raise AssertionError("nobody said that events were left out")


def test_too_many_clients_are_told_so_and_the_others_served(raw):
    crowd = [raw() for _ in range(MAX_CLIENTS)]
    for each in crowd:
        each.send(b'{"do": "status"}\n')
        assert each.reply()["ok"]
    told = raw().reply()
    assert told["error"]["code"] == "busy"
    crowd[0].close()

    def is_served() -> bool:
        late = raw()
        late.send(b'{"do": "status"}\n')
        return late.reply()["ok"]

    wait_until(is_served)


def test_requests_beyond_the_rate_wait(daemon, tmp_path):
    listening = ControlServer(tmp_path / "s", daemon, Pace(per_s=100))
    listening.start()
    with ControlClient(tmp_path / "s") as client:
        client.ask("status")
        began = monotonic()
        for _ in range(20):
            client.ask("status")
        assert monotonic() - began >= 0.19
    listening.close()


def test_however_many_come_at_once_each_is_answered_or_told_that_there_are_too_many(path):
    """Where too many wait to be accepted, connecting to a Unix socket fails at once."""
    crowd, ready = 3 * MAX_CLIENTS, threading.Barrier(3 * MAX_CLIENTS)

    def ask(_: int) -> str:
        ready.wait(PATIENCE_S)
        try:
            with ControlClient(path) as client:
                client.ask("status")
                ready.wait(PATIENCE_S)  # none leaves before all are answered
        except StemdError as error:
            ready.wait(PATIENCE_S)
            return str(error)
        return "answered"

    with ThreadPoolExecutor(crowd) as pool:
        told = list(pool.map(ask, range(crowd)))
    busy = f"stemd is busy: {MAX_CLIENTS} clients are connected, the most; close some"
    assert set(told) == {"answered", busy}
    assert told.count("answered") == MAX_CLIENTS


def test_where_no_more_can_wait_to_be_accepted_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(client_module, "CONNECT_S", 0.05)
    with ExitStack() as stack:
        hanging = stack.enter_context(socket.socket(socket.AF_UNIX))
        hanging.bind(str(tmp_path / "s"))
        hanging.listen(0)
        stack.enter_context(ControlClient(tmp_path / "s"))
        with pytest.raises(StemdError, match="stemd is busy: more clients than it can accept"):
            ControlClient(tmp_path / "s")

        def accept_one() -> None:
            hanging.accept()[0].close()

        threading.Timer(0.2, accept_one).start()
        monkeypatch.setattr(client_module, "CONNECT_S", 30)
        stack.enter_context(ControlClient(tmp_path / "s"))


@pytest.mark.parametrize(("user", "served"), [(1000, True), (0, True), (1001, False)])
def test_a_stranger_at_the_socket_is_not_talked_to(path, monkeypatch, user, served):
    monkeypatch.setattr(client_module.os, "getuid", lambda: 1000)
    monkeypatch.setattr(client_module, "peer_of", lambda _: (1, user))
    monkeypatch.setattr(control_server, "_is_owner", lambda _: True)
    if served:
        ControlClient(path).close()
    else:
        with pytest.raises(StemdError, match=r"belongs to another user \(1001\): give the path"):
            ControlClient(path)


def test_no_daemon_there_is_one_clear_line(tmp_path):
    with pytest.raises(StemdError, match=r"no stemd answers at .*: No such file.*stemd run"):
        ControlClient(tmp_path / "none")


def test_a_daemon_that_ends_is_told(path, daemon):
    ended = ControlServer(path.with_name("other"), daemon)
    ended.start()
    with ControlClient(path.with_name("other")) as client:
        events = client.events()
        threading.Timer(0.05, ended.close).start()
        assert next(events, None) is None
        with pytest.raises(StemdError, match="ended meanwhile"):
            client.ask("status")


def test_the_end_is_the_end_of_the_process(tmp_path):
    program = (
        "import socket, sys, time\n"
        "s = socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen()\n"
        "print(flush=True)\nc, _ = s.accept()\nc.recv(100)\nc.close()\ntime.sleep(0.3)"
    )
    command = [sys.executable, "-c", program, tmp_path / "s"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            with ControlClient(tmp_path / "s") as client:
                client._socket.sendall(b"stop\n")
                client.wait_for_end()
            assert process.poll() == 0
        finally:
            end(process)


def test_a_daemon_that_does_not_end_is_told(tmp_path):
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(tmp_path / "s"))
        hanging.listen()
        with (
            ControlClient(tmp_path / "s", patience_s=0.05) as client,
            pytest.raises(StemdError, match="stemd does not answer: it may hang"),
        ):
            client.wait_for_end()


def test_the_document_quotes_a_conversation_as_it_is(raw):
    text = (Path(__file__).parents[4] / "docs" / "control.md").read_text()
    talk = text.partition("<!-- test: talk -->")[2].split("```")[1]
    client = raw()
    for line in talk.strip().splitlines():
        if line.startswith("> "):
            client.send(line[2:].encode() + b"\n")
        else:
            assert client.reply() == json.loads(line[2:])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["do", "id", "stem", "gain", "mute", "on", "x"]), inner)
    ),
    max_leaves=8,
)
requests = st.fixed_dictionaries(
    {
        "do": st.sampled_from(
            ["status", "set", "bypass", "device", "record", "reload", "stop", "subscribe"]
        )
        | json_values
    },
    optional={
        "id": json_values,
        "stem": st.sampled_from(STEMS) | json_values,
        "gain": st.floats(-100, 20) | json_values,
        "mute": st.booleans() | json_values,
        "solo": st.booleans() | json_values,
        "on": st.booleans() | json_values,
        "meters": st.floats(0, 100) | json_values,
    },
)


@given(st.binary(max_size=200) | (requests | json_values).map(lambda x: json.dumps(x).encode()))
def test_any_line_is_a_request_or_an_error_that_can_be_written(line):
    try:
        request = protocol.parse(line)
    except RequestError as error:
        told = json.loads(protocol.refusal(error))
        assert told["ok"] is False
        assert told["error"]["message"]
        assert len(told["error"]["message"]) < 2_000
    else:
        assert json.loads(line)["do"] == request.do


@given(st.lists(st.binary(max_size=100).filter(lambda x: b"\n" not in x), max_size=5))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_sent_the_socket_answers_on(path, lines):
    noise = Raw(path)
    noise.send(b"".join(line + b"\n" for line in lines) + b'{"do": "status", "id": "end"}\n')
    while noise.reply()["id"] != "end":
        pass
    noise.close()


def test_who_leaves_learns_nothing_any_more(daemon, raw, monkeypatch):
    monkeypatch.setattr(conversation, "LOOK_S", 0.01)
    wished, learned = threading.Event(), Future()
    cancelled = threading.Event()
    learned.add_done_callback(lambda _: cancelled.set())

    def learn(_):
        wished.set()
        return learned

    daemon.learn = learn
    client = raw()
    client.send(b'{"do": "learn", "does": "bypass"}\n')
    assert wished.wait(PATIENCE_S)
    client.close()
    assert cancelled.wait(PATIENCE_S)
    assert learned.cancelled()


def test_who_leaves_and_never_reads_takes_no_descriptor_along(raw, daemon, monkeypatch):
    monkeypatch.setattr(streams, "CLOSE_S", 0.05)
    slow = raw()
    slow.send(b'{"do": "subscribe"}\n')
    assert slow.reply()["ok"]
    open_before = len(open_sockets())
    for _ in range(20_000):
        daemon.bulletin.publish(StateChanged("playing" * 10))
    slow.socket.shutdown(socket.SHUT_WR)
    wait_until(lambda: len(open_sockets()) == open_before - 1)
