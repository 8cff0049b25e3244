"""What `run` hands on of the configuration; the daemon from one server to the next."""

import re
import sys
import threading
from itertools import count

import pytest

from fake_graph import FakeGraph
from stemd.daemon import app
from stemd.daemon.config import load_config
from stemd.daemon.errors import ServerError, StemdError
from stemd.daemon.networks import LoadedNetworks
from stemd.daemon.session import State
from stemd.dsp.masks import MaskExtension
from stemd.dsp.scheme import Scheme

SCHEME = Scheme(T=64, B=1, A=1)


def passing(window, out):
    out[:] = window[-SCHEME.B - SCHEME.A : -SCHEME.A]


NETWORKS = {"vocals": passing, "accompaniment": passing}


def test_run_hands_on_every_wish(tmp_path, monkeypatch):
    path = tmp_path / "config.yaml"
    path.write_text(
        "jack: {client_name: mine, server: pipewire, longest_period: 77,\n"
        "  autoconnect: {in_L: 'a:b'}}\n"
        "separation: {stems: 4, T: 128, B: 4, A: 2, mirror: 3, precision: int8,\n"
        "  threads: 5, mask_extension: zeros}"
    )
    told, scheme = {}, Scheme(T=128, B=4, A=2, mirror=3)
    graph = FakeGraph()
    networks = dict.fromkeys(("vocals", "drums", "bass", "other"))

    def open_client(name, server):
        told["client"] = (name, server)
        return graph

    def choose(*wishes):
        told["networks"] = wishes
        return scheme, lambda: networks

    class Session:
        def __init__(self, client, networks, scheme, extension, longest_period, patchbay):
            told["session"] = (client, scheme, extension, longest_period)
            told["patterns"] = {port: each.pattern for port, each in patchbay._patterns.items()}
            told["loaded"] = networks.by_stem
            raise StemdError("the sky fell down")

    monkeypatch.setattr(app, "open_client", open_client)
    monkeypatch.setattr(app, "choose", choose)
    monkeypatch.setattr(app, "settle_memory", lambda: None)
    monkeypatch.setattr(app, "Session", Session)
    with pytest.raises(StemdError, match="the sky fell down"):
        app.run(load_config(path))
    assert graph.closed
    assert told == {
        "client": ("mine", "pipewire"),
        "networks": (4, (scheme,), "int8", 5),
        "session": (graph, scheme, MaskExtension.ZEROS, 77),
        "patterns": {"in_L": "a:b"},
        "loaded": networks,
    }


class Servers:
    """Servers that come and go; `join` opens a client of the one that is there."""

    def __init__(self) -> None:
        self.present: FakeGraph | None = None
        self.joined: list[FakeGraph] = []
        self.attempts = 0

    def join(self):
        self.attempts += 1
        if self.present is None:
            raise ServerError("no server answers")
        self.joined.append(self.present)
        return self.present


@pytest.fixture
def servers():
    return Servers()


@pytest.fixture
def daemon(servers, monkeypatch):
    """A daemon that runs on a thread of its own until the test ends."""
    monkeypatch.setattr(app, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(app, "TICK_S", 0.01)
    monkeypatch.setattr(app, "settle_memory", lambda: None)
    daemon = app.Daemon(load_config(None), SCHEME, LoadedNetworks(lambda: NETWORKS), servers.join)
    thread = threading.Thread(target=daemon.run)
    thread.start()
    yield daemon
    daemon.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_the_last_server_is_joined_as_soon_as_it_is_back(servers, monkeypatch, daemon):
    class Returning(FakeGraph):
        def has_server_again(self) -> bool:
            return servers.present is not None

    servers.present = first = Returning()
    wait_until(lambda: daemon.session)
    monkeypatch.setattr(app, "FIRST_RETRY_S", 60)
    monkeypatch.setattr(app, "LAST_RETRY_S", 60)
    servers.present = None
    first.alive = False
    wait_until(lambda: daemon.state is State.WAITING)
    servers.present = FakeGraph()
    wait_until(lambda: daemon.session)


def test_a_server_that_takes_connections_but_lets_nobody_in_is_left_in_peace(
    servers, monkeypatch, daemon
):
    class Answering(FakeGraph):
        def has_server_again(self) -> bool:
            return True

    servers.present = first = Answering()
    wait_until(lambda: daemon.session)
    for name, seconds in (("FIRST_RETRY_S", 60), ("LAST_RETRY_S", 60), ("LOOK_S", 0.02)):
        monkeypatch.setattr(app, name, seconds)
    servers.attempts, servers.present = 0, None
    first.alive = False
    wait_until(lambda: servers.attempts >= 4)
    threading.Event().wait(0.5)
    assert servers.attempts <= 9  # the fourth after 0.14 s, the tenth after 10 s


def test_a_signal_may_come_wherever_it_waits_for_a_server(servers, monkeypatch):
    """Not even the lock of an event is free everywhere."""
    monkeypatch.setattr(app, "settle_memory", lambda: None)
    monkeypatch.setattr(app, "LOOK_S", 0.001)
    monkeypatch.setattr(app.log, "warning", lambda *_: None)  # which takes many steps
    wishes = load_config(None), SCHEME, LoadedNetworks(lambda: NETWORKS), servers.join

    def stop_at(number: int) -> None:
        daemon, steps = app.Daemon(*wishes), count()

        def trace(*_):
            if next(steps) == number:
                sys.settrace(None)
                daemon.stop()
            return trace

        sys.settrace(trace)
        daemon.run()

    for number in range(300):
        thread = threading.Thread(target=stop_at, args=(number,), daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()


def wait_until(holds) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError("it never came to pass")


def test_it_waits_for_a_server_and_says_so_once(servers, daemon, caplog):
    wait_until(lambda: servers.attempts > 3)
    assert daemon.state is State.WAITING
    said = [
        record.getMessage() for when in ("setup", "call") for record in caplog.get_records(when)
    ]
    assert said.count("waiting for a server: no server answers") == 1
    servers.present = FakeGraph()
    wait_until(lambda: daemon.session)
    assert daemon.state is State.PLAYING


def test_it_goes_from_one_server_to_the_next(servers, daemon, caplog):
    caplog.set_level("INFO")
    servers.present = first = FakeGraph()
    wait_until(lambda: daemon.session)
    servers.present = None
    first.alive = False
    wait_until(lambda: daemon.state is State.WAITING)
    assert first.closed
    servers.present = second = FakeGraph(48_000)
    wait_until(lambda: daemon.session)
    assert servers.joined == [first, second]
    assert "the server went away" in caplog.text
    delays = re.findall(r"with a delay of (\d+) frames", caplog.text)
    assert len(delays) == 2
    assert delays[0] != delays[1]


def test_a_server_that_refuses_is_not_asked_again(servers, monkeypatch):
    class Refusing(FakeGraph):
        def bind(self, *_):
            raise ServerError("it refused the ports")

    monkeypatch.setattr(app, "settle_memory", lambda: None)
    servers.present = graph = Refusing()
    daemon = app.Daemon(load_config(None), SCHEME, LoadedNetworks(lambda: NETWORKS), servers.join)
    with pytest.raises(ServerError, match="refused the ports"):
        daemon.run()
    assert graph.closed
    assert servers.attempts == 1
