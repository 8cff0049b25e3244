"""The daemon from one server to the next, and what it does meanwhile."""

import json
import logging
import re
import socket
import sys
import threading
from itertools import count
from math import isfinite

import numpy as np
import pytest

from daemon_on_stage import NETWORKS, Servers, new_daemon, on_a_thread, play, play_until
from fake_graph import FakeGraph
from stemd.daemon.control.client import read_status
from stemd.daemon.control.events import BypassSwitched, DelayChanged, StateChanged
from stemd.daemon.control.mixer import Strip
from stemd.daemon.control.protocol import line
from stemd.daemon.control.saved_state import StateFile
from stemd.daemon.errors import ConfigError, ServerError, StemdError
from stemd.daemon.supervisor import daemon as daemon_module
from stemd.daemon.supervisor import heartbeat, joining
from stemd.daemon.supervisor.state import State
from stemd.daemon.supervisor.swap import Phase
from stemd.tflite_models.errors import ModelError
from waiting import PATIENCE_S, until, wait_until


@pytest.fixture
def servers():
    return Servers()


@pytest.fixture
def daemon(servers, monkeypatch):
    """A daemon that runs on a thread of its own until the test ends."""
    monkeypatch.setattr(joining, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(daemon_module, "TICK_S", 0.01)
    monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
    daemon = new_daemon(servers)
    with on_a_thread(daemon):
        yield daemon


def test_the_last_server_is_joined_as_soon_as_it_is_back(servers, monkeypatch, daemon):
    class Returning(FakeGraph):
        def has_server_again(self) -> bool:
            return servers.present is not None

    servers.present = first = Returning()
    wait_until(lambda: daemon.playback.session)
    monkeypatch.setattr(joining, "FIRST_RETRY_S", 60)
    monkeypatch.setattr(joining, "LAST_RETRY_S", 60)
    servers.present = None
    first.alive = False
    wait_until(lambda: daemon.playback.state is State.WAITING)
    servers.present = FakeGraph()
    wait_until(lambda: daemon.playback.session)


def test_a_server_that_hangs_while_it_is_joined_keeps_no_client_from_steering(
    servers, monkeypatch, caplog
):
    go = threading.Event()

    def hang():
        assert go.wait(2 * PATIENCE_S)
        raise ServerError("no server answers")

    monkeypatch.setattr(joining, "HUNG_S", 0.01)
    monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
    monkeypatch.setattr(servers, "join", hang)
    daemon = new_daemon(servers)
    with on_a_thread(daemon):
        assert daemon.console.status().result(PATIENCE_S).state == "waiting"
        wait_until(lambda: "does not answer: it hangs" in caplog.text)
    go.set()


def test_a_server_that_lets_no_client_join_for_too_long_ends_the_daemon(servers, monkeypatch):
    go = threading.Event()
    monkeypatch.setattr(joining, "STUCK_S", 0.01)
    monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
    monkeypatch.setattr(servers, "join", lambda: go.wait(PATIENCE_S))
    with pytest.raises(StemdError, match=r"has not answered for 0 s: restart it, then stemd"):
        new_daemon(servers).run()
    go.set()


def test_a_machine_that_stood_still_while_a_server_is_joined_ends_nothing(monkeypatch):
    now, go, graph = [0.0], threading.Event(), FakeGraph()

    def work():
        now[0] += 10 * joining.STUCK_S
        if now[0] > 25 * joining.STUCK_S:
            go.set()

    def join():
        assert go.wait(PATIENCE_S)
        return graph

    monkeypatch.setattr(joining, "monotonic", lambda: now[0])
    joiner = joining.Joiner(join, work, lambda: True)
    assert joiner.wait() is graph
    assert not joiner.trouble


def test_a_server_that_takes_connections_but_lets_no_client_in_is_asked_less_often(
    servers, monkeypatch, daemon
):
    class Answering(FakeGraph):
        def has_server_again(self) -> bool:
            return True

    servers.present = first = Answering()
    wait_until(lambda: daemon.playback.session)
    for name, seconds in (("FIRST_RETRY_S", 60), ("LAST_RETRY_S", 60), ("LOOK_S", 0.02)):
        monkeypatch.setattr(joining, name, seconds)
    servers.attempts, servers.present = 0, None
    first.alive = False
    wait_until(lambda: servers.attempts >= 4)
    threading.Event().wait(0.5)
    assert servers.attempts <= 9  # the fourth after 0.14 s, the tenth after 10 s


def test_a_signal_may_come_wherever_it_waits_for_a_server(servers, monkeypatch):
    """Not even the lock of an event is free everywhere."""
    monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
    monkeypatch.setattr(joining, "LOOK_S", 0.001)
    monkeypatch.setattr(joining.log, "warning", lambda *_: None)  # which takes many steps

    def stop_at(number: int) -> None:
        daemon, steps = new_daemon(servers), count()

        def trace(*_):
            if next(steps) == number:
                sys.settrace(None)
                daemon.console.stop()
            return trace

        sys.settrace(trace)
        daemon.run()

    for number in range(300):
        thread = threading.Thread(target=stop_at, args=(number,), daemon=True)
        thread.start()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.fixture
def said():
    """What is logged from before a daemon begins; pytest's own fixture misses what comes between
    setting up and the test."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logging.getLogger("stemd").addHandler(handler)
    yield messages
    logging.getLogger("stemd").removeHandler(handler)


def test_it_waits_for_a_server_and_says_so_once(servers, said, daemon):
    wait_until(lambda: servers.attempts > 3)
    assert daemon.playback.state is State.WAITING
    assert said.count("waiting for a server: no server answers") == 1
    servers.present = FakeGraph()
    wait_until(lambda: daemon.playback.session)
    assert daemon.playback.state is State.PLAYING


def test_it_goes_from_one_server_to_the_next(servers, daemon, caplog):
    caplog.set_level("INFO")
    servers.present = first = FakeGraph()
    wait_until(lambda: daemon.playback.session)
    servers.present = None
    first.alive = False
    wait_until(lambda: daemon.playback.state is State.WAITING)
    wait_until(lambda: first.closed)
    servers.present = second = FakeGraph(48_000)
    wait_until(lambda: daemon.playback.session)
    assert servers.joined == [first, second]

    def delays() -> list[str]:
        return re.findall(r"with a delay of (\d+) frames", caplog.text)

    wait_until(lambda: len(delays()) == 2)
    assert "the server went away" in caplog.text
    assert len(set(delays())) == 2


def test_what_is_asked_for_is_done_with_and_without_a_server(servers, daemon):
    assert daemon.console.status().result(PATIENCE_S).state == "waiting"
    assert daemon.console.bypass(True).result(PATIENCE_S)
    servers.present = FakeGraph()
    wait_until(lambda: daemon.playback.session)
    told = daemon.console.status().result(PATIENCE_S)
    assert told.state == "bypassed"
    assert told.protocol == 1
    assert told.delay.frames == daemon.playback.session.rt.delay
    assert told.stems == ["vocals", "accompaniment"]
    assert read_status(json.loads(line(vars(told)))) == told
    assert not daemon.console.bypass(None).result(PATIENCE_S)
    assert daemon.playback.state is State.PLAYING


def test_strips_can_be_set_before_there_is_a_server(servers, daemon):
    assert daemon.console.status().result(PATIENCE_S).state == "waiting"
    daemon.console.mixer.set("vocals", mute=True)
    servers.present = FakeGraph()
    wait_until(lambda: daemon.playback.session)
    assert daemon.console.status().result(PATIENCE_S).mixer["vocals"].mute


def test_events_tell_what_happens(servers, daemon):
    told = []
    with daemon.console.bulletin.subscription(told.append):
        servers.present = first = FakeGraph()
        wait_until(lambda: StateChanged("playing") in told)
        daemon.console.bypass(True).result(PATIENCE_S)
        assert BypassSwitched(True) in told
        servers.present, first.alive = None, False
        wait_until(lambda: StateChanged("waiting") in told)


def test_the_delay_gets_longer_and_shorter_with_the_periods(servers, monkeypatch):
    monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
    monkeypatch.setattr("stemd.daemon.supervisor.room.SHORTER_AFTER_S", 0.5)
    monkeypatch.setattr(daemon_module, "TICK_S", 0.01)
    servers.present = FakeGraph()
    daemon, told = new_daemon(servers), []
    with daemon.console.bulletin.subscription(told.append), on_a_thread(daemon):
        wait_until(lambda: daemon.playback.session)
        play_until(daemon, lambda: daemon.playback.session.phase is Phase.STEADY)
        short = daemon.console.status().result(PATIENCE_S).delay.frames
        long_ones = np.zeros((2, 4096), np.float32)
        for _ in range(200):
            play(daemon, long_ones)
            if daemon.playback.session.rt.delay > short:
                break
        play_until(daemon, lambda: DelayChanged(short) in told)
        assert daemon.console.status().result(PATIENCE_S).delay.frames == short
    delays = [each for each in told if isinstance(each, DelayChanged)]
    assert delays == [DelayChanged(short + 4096 - 1024), DelayChanged(short)]


class TestSlowLoad:
    """While networks are loaded everything else goes on."""

    def replan(self, before, preset):
        assert before, "a reload waits for the first plan"
        raise ConfigError("wrong")

    @pytest.fixture
    def slow(self, servers, monkeypatch, tmp_path):
        """A daemon with a service manager, and what lets its networks be loaded."""
        monkeypatch.setattr(heartbeat, "BEAT_S", 0.0)
        monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
        go, notices = threading.Event(), []

        def load():
            assert go.wait(2 * PATIENCE_S)
            return dict(NETWORKS)

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(tmp_path / "notify"))
            manager.settimeout(PATIENCE_S)
            environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
            daemon = new_daemon(servers, environment, self.replan, load=load)

            def hear(notice):
                for _ in until(lambda: notices and notices[-1] == notice):
                    notices.append(manager.recv(4096).decode())

            with on_a_thread(daemon) as thread:
                yield daemon, go, hear, thread, notices
                daemon.console.stop()
                go.set()

    def test_at_the_start(self, slow, servers):
        daemon, go, hear, _, notices = slow
        servers.present = FakeGraph()
        status = daemon.console.status().result(PATIENCE_S)
        assert (status.state, status.stems, status.window) == ("loading", [], None)
        hear("STATUS=loading the networks")
        hear("WATCHDOG=1")
        assert "READY=1" not in notices
        assert daemon.console.bypass(True).result(PATIENCE_S)
        assert not servers.attempts, "there are no ports yet"
        reloading = daemon.console.reload()
        go.set()
        hear("READY=1")
        wait_until(lambda: daemon.playback.session)
        assert daemon.playback.state is State.BYPASSED
        with pytest.raises(StemdError, match="nothing is changed: wrong"):
            reloading.result(PATIENCE_S)

    def test_it_ends_at_once_when_it_is_asked_to(self, slow):
        daemon, _, hear, thread, _ = slow
        hear("WATCHDOG=1")
        daemon.console.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "it waits for the networks"

    def test_a_server_that_goes_while_networks_are_loaded_anew(self, slow, servers):
        daemon, go, _, _, _ = slow
        go.set()
        servers.present = first = FakeGraph()
        wait_until(lambda: daemon.playback.session)
        play_until(daemon, lambda: daemon.playback.session.phase is Phase.STEADY)
        go.clear()
        daemon.playback.session.separation.failure = RuntimeError("out of order")
        play_until(daemon, lambda: daemon.playback.session.phase is Phase.LOADING)
        assert daemon.console.status().result(PATIENCE_S).state == "recovering"
        servers.present, first.alive = FakeGraph(), False
        wait_until(lambda: daemon.playback.state is State.LOADING)
        assert daemon.console.status().result(PATIENCE_S).server is None
        for _ in range(5):
            assert daemon.console.status().result(PATIENCE_S).state == "loading"
        assert servers.joined == [first], "there is nothing to play with yet"
        go.set()
        wait_until(lambda: daemon.playback.session)
        assert daemon.playback.state is State.PLAYING


def test_networks_that_cannot_be_loaded_at_the_start_end_it(servers, monkeypatch):
    def fail():
        raise ModelError("vocals.tflite is missing")

    monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
    with pytest.raises(ModelError, match=r"vocals\.tflite is missing"):
        new_daemon(servers, load=fail).run()


def test_systemd_is_told_of_each_step_and_fed_while_it_waits(servers, monkeypatch, tmp_path):
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.0)
    monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
    heard = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_S)

        def told(notice: str) -> bool:
            heard.append(manager.recv(4096).decode())
            return heard[-1] == notice

        daemon = new_daemon(servers, {"NOTIFY_SOCKET": str(tmp_path / "notify")})
        with on_a_thread(daemon):
            wait_until(lambda: told("STATUS=waiting for a server: no server answers"))
            wait_until(lambda: told("WATCHDOG=1"))
            daemon.console.stop()
            wait_until(lambda: told("STOPPING=1"))
    assert heard[0] == "READY=1"


@pytest.fixture
def unobserved(monkeypatch):
    """Only the test looks whether the music flows, once the daemon has looked."""
    monkeypatch.setattr(heartbeat, "BEAT_S", 3600.0)


def await_look(daemon) -> None:
    wait_until(lambda: daemon.playback.session and isfinite(daemon.heartbeat.last))
    daemon.console.status().result(
        PATIENCE_S
    )  # by the same thread, which is done with looking then


def test_music_that_does_not_flow_starves_the_watchdog(unobserved, servers, daemon):
    servers.present = graph = FakeGraph()
    await_look(daemon)
    silence = np.zeros((2, 256), np.float32)
    link = daemon.playback.session.separation.link

    def deliver() -> None:
        delivered = link.counters().delivered
        for _ in range(20):
            graph.cycle(silence)
        wait_until(lambda: link.counters().delivered > delivered)

    daemon.heartbeat.flows()
    assert not daemon.heartbeat.flows(), "no cycle, and nothing comes out"
    deliver()
    assert daemon.heartbeat.flows()
    daemon.playback.session.separation._engine.stop()
    daemon.heartbeat.flows()
    graph.cycle(silence)
    assert not daemon.heartbeat.flows(), "cycles, but nothing comes out"


def test_networks_that_cannot_be_loaded_again_do_not_starve_it(unobserved, servers, daemon):
    servers.present = graph = FakeGraph()
    await_look(daemon)

    def refuse() -> None:
        raise ModelError("the file is gone")

    silence = np.zeros((2, 256), np.float32)
    graph.cycle(silence)
    daemon.playback.session.networks.load_anew = refuse
    daemon.playback.session.separation.failure = ValueError("it broke")
    daemon.playback.session.rt.wake()
    wait_until(lambda: daemon.playback.state is State.RECOVERING)
    daemon.heartbeat.flows()
    graph.cycle(silence)
    assert daemon.heartbeat.flows(), "the input is heard"
    assert not daemon.heartbeat.flows(), "but no cycle, no sound"


def test_a_server_that_refuses_is_not_asked_again(servers, monkeypatch):
    class Refusing(FakeGraph):
        def bind(self, *_):
            raise ServerError("it refused the ports")

    monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
    servers.present = graph = Refusing()
    daemon = new_daemon(servers)
    with pytest.raises(ServerError, match="refused the ports"):
        daemon.run()
    assert graph.closed
    assert servers.attempts == 1


def test_what_was_set_is_kept_where_it_gives_up_too(servers, monkeypatch, tmp_path):
    def fail(*_):
        raise ServerError("it refused the ports")

    monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
    monkeypatch.setattr(FakeGraph, "bind", fail)
    servers.present = FakeGraph()
    daemon = new_daemon(servers, state_file=StateFile(tmp_path / "state.json"))
    daemon.console.mixer.put("vocals", Strip(gain=-7))
    with pytest.raises(ServerError):
        daemon.run()
    assert StateFile(tmp_path / "state.json").read().strips["vocals"].gain == -7
