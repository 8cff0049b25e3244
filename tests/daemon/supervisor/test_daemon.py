"""The daemon from one server to the next, and what it does meanwhile."""

import json
import logging
import re
import socket
import sys
import threading
import weakref
from itertools import count
from math import isfinite
from time import monotonic

import numpy as np
import pytest

from fake_graph import FakeGraph
from known_sets import TWO
from stemd.daemon.config_file import load_config
from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.mixer import Mixer, Strip
from stemd.daemon.control.saved_state import Keeper
from stemd.daemon.engine.link import RESERVE_S
from stemd.daemon.engine.networks import LoadedNetworks
from stemd.daemon.errors import ConfigError, ServerError, StemdError
from stemd.daemon.supervisor import daemon as daemon_module
from stemd.daemon.supervisor import heartbeat, joining, plan
from stemd.daemon.supervisor.daemon import Daemon
from stemd.daemon.supervisor.notifier import Notifier
from stemd.daemon.supervisor.plan import Plan, make_plan
from stemd.daemon.supervisor.state import State
from stemd.daemon.supervisor.swap import Phase
from stemd.dsp.scheme import Scheme
from stemd.tflite_models.errors import ModelError
from waiting import wait_until

SCHEME = Scheme(T=64, B=1, A=1)
BY_HAND = ["separation.T=64", "separation.B=1", "separation.A=1"]


def passing(window, out):
    out[:] = window[-SCHEME.B - SCHEME.A : -SCHEME.A]


NETWORKS = {"vocals": passing, "accompaniment": passing}


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


def new_daemon(servers, environment=None, replan=None, keeper=None, load=lambda: dict(NETWORKS)):
    config = load_config(None)

    def plan_after(before):
        if before:
            return replan(before)
        return Plan(config, config, SCHEME, LoadedNetworks(load), TWO)

    keeper = keeper or Keeper(None)
    notifier = Notifier(environment or {})
    return Daemon(config, plan_after, servers.join, Mixer([]), keeper, notifier)


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
    thread = threading.Thread(target=daemon.run)
    thread.start()
    yield daemon
    daemon.console.stop()
    thread.join(10)
    assert not thread.is_alive()


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


def test_a_server_that_hangs_while_it_is_joined_keeps_nobody_from_steering(
    servers, monkeypatch, caplog
):
    go = threading.Event()

    def hang():
        assert go.wait(30)
        raise ServerError("no server answers")

    monkeypatch.setattr(joining, "HUNG_S", 0.01)
    monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
    monkeypatch.setattr(servers, "join", hang)
    daemon = new_daemon(servers)
    thread = threading.Thread(target=daemon.run, daemon=True)
    thread.start()
    assert daemon.console.status().result(10)["state"] == "waiting"
    wait_until(lambda: "does not answer: it hangs" in caplog.text)
    daemon.console.stop()
    thread.join(10)
    go.set()
    assert not thread.is_alive()


def test_a_server_that_keeps_who_joins_it_for_too_long_ends_the_daemon(servers, monkeypatch):
    go = threading.Event()
    monkeypatch.setattr(joining, "STUCK_S", 0.01)
    monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
    monkeypatch.setattr(servers, "join", lambda: go.wait(30))
    with pytest.raises(StemdError, match=r"has not answered for 0 s: restart it, then stemd"):
        new_daemon(servers).run()
    go.set()


def test_a_server_that_takes_connections_but_lets_nobody_in_is_left_in_peace(
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
        thread.join(10)
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
    assert daemon.console.status().result(5)["state"] == "waiting"
    assert daemon.console.bypass(True).result(5)
    servers.present = FakeGraph()
    wait_until(lambda: daemon.playback.session)
    told = daemon.console.status().result(5)
    assert told["state"] == "bypassed"
    assert told["protocol"] == 1
    assert told["delay"]["frames"] == daemon.playback.session.rt.delay
    assert told["stems"] == ["vocals", "accompaniment"]
    assert json.loads(json.dumps(told)).keys() == told.keys()
    assert not daemon.console.bypass(None).result(5)
    assert daemon.playback.state is State.PLAYING


def test_strips_can_be_set_before_there_is_a_server(servers, daemon):
    assert daemon.console.status().result(5)["state"] == "waiting"
    daemon.console.mixer.set("vocals", mute=True)
    servers.present = FakeGraph()
    wait_until(lambda: daemon.playback.session)
    assert daemon.console.status().result(5)["mixer"]["vocals"]["mute"]


def test_events_tell_what_happens(servers, daemon):
    told = []
    with daemon.console.bulletin.subscription(told.append):
        servers.present = first = FakeGraph()
        wait_until(lambda: {"event": "state", "state": "playing"} in told)
        daemon.console.bypass(True).result(5)
        assert {"event": "bypass", "on": True} in told
        servers.present, first.alive = None, False
        wait_until(lambda: {"event": "state", "state": "waiting"} in told)


def raising(_, out) -> None:
    raise RuntimeError("out of order")


class OnceGood:
    """A network that passes its trial, and fails at its second block."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, window, out) -> None:
        self.calls += 1
        if self.calls > 1:
            raise RuntimeError("out of order")
        passing(window, out)


FOUR = ("vocals", "drums", "bass", "other")
OTHER_WORK = ["separation.threads=2", *BY_HAND]


class TestReload:
    @pytest.fixture
    def replan(self):
        """What the configuration says next; or an exception."""
        return []

    @pytest.fixture
    def daemon(self, servers, replan, monkeypatch):
        monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
        monkeypatch.setattr(plan, "choose", lambda works: (works[0], lambda: dict(NETWORKS)))

        def next_plan(before):
            following = replan.pop(0)
            if isinstance(following, Exception):
                raise following
            return make_plan(following, before)

        daemon = new_daemon(servers, replan=next_plan)
        thread = threading.Thread(target=daemon.run)
        thread.start()
        servers.present = FakeGraph()
        wait_until(lambda: daemon.playback.session)
        yield daemon
        daemon.console.stop()
        thread.join(10)
        assert not thread.is_alive()

    def test_what_is_the_same_stays(self, daemon, replan):
        replan.append(load_config(None))
        before = daemon.playback.session.separation
        assert daemon.console.reload().result(5) == {"changed": [], "at_next_start": []}
        assert daemon.playback.session.separation is before

    def test_however_often_one_is_asked_for_one_is_done_and_one_waits(
        self, daemon, replan, monkeypatch
    ):
        monkeypatch.setattr("stemd.daemon.supervisor.reloading.RELOAD_PAUSE_S", 0.05)
        begun, go, began_at = threading.Semaphore(0), threading.Semaphore(0), []

        def next_plan(before):
            began_at.append(monotonic())
            begun.release()
            assert go.acquire(timeout=30)
            return make_plan(load_config(None), before)

        daemon.reloader._replan = next_plan
        daemon.console.reload_soon()
        assert begun.acquire(timeout=30)
        for _ in range(42):
            daemon.console.reload_soon()
        go.release(2)
        assert begun.acquire(timeout=30)
        wait_until(lambda: not daemon.reloader._reloading.locked())
        assert not begun.acquire(timeout=0.2)
        assert began_at[1] - began_at[0] >= 0.05

    def test_gains_patterns_and_masks_change_without_another_separation(self, daemon, replan):
        settings = [
            "mixer.strips={vocals: {gain: -6}}",
            "jack.autoconnect={in_L: 'mpv:.*'}",
            "separation.mask_extension=zeros",
            "jack.client_name=other",
        ]
        replan.append(load_config(None, settings))
        before = daemon.playback.session.separation
        assert daemon.console.reload().result(5) == {
            "changed": ["jack.autoconnect", "mixer.strips", "separation.mask_extension"],
            "at_next_start": ["jack.client_name"],
        }
        assert daemon.playback.session.separation is before
        assert daemon.console.mixer.strips()["vocals"].gain == -6

    def test_others_are_played_by_another_separation(self, daemon, replan):
        replan.append(load_config(None, ["separation.precision=int8", *BY_HAND]))
        before = daemon.playback.session.separation
        assert "separation.precision" in reload(daemon)["changed"]
        play_until(daemon, lambda: before.is_stopped)
        assert daemon.playback.session.separation is not before
        assert daemon.playback.session.networks is daemon.playback.plan.networks

    def test_another_longest_period_gets_networks_of_its_own(self, daemon, replan):
        """Those that play are no other separation's at the same time."""
        before = daemon.playback.session.separation
        replan.append(load_config(None, ["jack.longest_period=2048", *BY_HAND]))
        networks = daemon.playback.plan.networks
        assert "jack.longest_period" in reload(daemon)["changed"]
        assert daemon.playback.plan.networks is not networks
        play_until(daemon, lambda: before.is_stopped)

    def test_what_waits_for_the_next_start_is_told_each_time_and_changes_nothing(
        self, daemon, replan
    ):
        later = ["midi.enabled=true", "mixer.ramp=1", "jack.client_name=other"]
        for _ in range(2):
            replan.append(load_config(None, later))
            assert daemon.console.reload().result(5) == {
                "changed": [],
                "at_next_start": ["jack.client_name", "midi.enabled", "mixer.ramp"],
            }
        assert not daemon.playback.plan.config.midi.enabled
        with pytest.raises(StemdError, match="there is no MIDI port"):
            daemon.console.learn(Binding(cc=0, does="bypass")).result(5)

    def test_a_solo_that_goes_lets_the_others_be_heard_only_when_it_is_gone(
        self, daemon, replan, monkeypatch
    ):
        daemon.console.mixer.set("vocals", solo=True)
        others = {"drums": NETWORKS["vocals"], "other": NETWORKS["vocals"]}
        monkeypatch.setattr(plan, "choose", lambda works: (works[0], lambda: others))
        replan.append(load_config(None, ["separation.threads=2", *BY_HAND]))
        before = daemon.playback.session.separation
        play(daemon, SILENCE)
        reloading, mixed = daemon.console.reload(), []
        play_until(
            daemon, lambda: mixed.append({*daemon.console.mixer.strips()}) or before.is_stopped
        )
        assert reloading.result(5)["changed"]
        assert mixed[0] == {*NETWORKS}
        assert {*NETWORKS, *others} in mixed, "while both are heard"
        wait_until(lambda: daemon.console.mixer.strips().keys() == others.keys())

    def test_a_wrong_one_changes_nothing_and_says_why(self, daemon, replan, caplog):
        replan.append(ConfigError("separation.preset: input should be …"))
        before, told = daemon.playback.plan, []
        with (
            daemon.console.bulletin.subscription(told.append),
            pytest.raises(StemdError, match=r"nothing is changed: separation\.preset"),
        ):
            daemon.console.reload().result(5)
        assert told == [{"event": "reload", "error": "separation.preset: input should be …"}]
        assert daemon.playback.plan is before
        assert "nothing is changed: separation.preset" in caplog.text
        replan.append(load_config(None))
        assert daemon.console.reload().result(5), "and the next one is read"

    def test_a_wrong_one_leaves_the_audio_as_it_is_bit_for_bit(self, daemon, servers, replan):
        left_alone = Servers()
        left_alone.present = FakeGraph()
        other = new_daemon(left_alone)
        thread = threading.Thread(target=other.run, daemon=True)
        thread.start()
        wait_until(lambda: other.playback.session)
        rng = np.random.default_rng(1)
        for n in range(200):
            block = 0.1 * rng.standard_normal((2, 256)).astype(np.float32)
            heard = [play(each, block) for each in (daemon, other)]
            np.testing.assert_array_equal(*heard)
            if n in (80, 120):
                replan.append(ConfigError("wrong"))
                with pytest.raises(StemdError):
                    daemon.console.reload().result(5)
        assert heard[0].any()
        other.console.stop()
        thread.join(10)

    @pytest.fixture
    def loading(self, monkeypatch):
        """What the next set is loaded from."""
        following = []
        monkeypatch.setattr(plan, "choose", lambda works: (works[0], following.pop(0)))
        return following

    @pytest.mark.parametrize("network", [lambda: raising, OnceGood], ids=["trial", "live"])
    def test_networks_that_fail_leave_all_as_it_is(self, daemon, replan, loading, network):
        settings = ["mixer.strips={vocals: {gain: -6}}", "jack.autoconnect={in_L: 'mpv:.*'}"]
        settings += ["separation.mask_extension=zeros", *OTHER_WORK]
        replan.append(load_config(None, settings))
        loading.append(lambda: {stem: network() for stem in FOUR})
        before = (
            daemon.playback.plan,
            daemon.playback.session.separation,
            daemon.console.mixer.all_strips(),
        )
        status, patterns = daemon.console.status().result(5), daemon.playback.patchbay._patterns
        told = []
        with (
            daemon.console.bulletin.subscription(told.append),
            pytest.raises(StemdError, match=r"^nothing is changed: the network .*out of order"),
        ):
            reload(daemon)
        assert (
            daemon.playback.plan,
            daemon.playback.session.separation,
            daemon.console.mixer.all_strips(),
        ) == before
        assert daemon.playback.patchbay._patterns is patterns
        after = daemon.console.status().result(5)
        for key in ("stems", "preset", "precision", "window", "mixer", "delay"):
            assert after[key] == status[key]
        reloads = [each for each in told if each["event"] != "state"]  # the machine may be busy
        assert [each["event"] for each in reloads] == ["reload"]
        assert "out of order" in reloads[0]["error"]
        replan.append(load_config(None, OTHER_WORK))
        loading.append(lambda: dict.fromkeys(FOUR, passing))
        assert reload(daemon)["changed"]
        assert daemon.console.status().result(5)["stems"] == [*FOUR], "from the answer on"

    def test_without_a_server_too(self, daemon, servers, replan, loading):
        gone, servers.present = servers.present, None
        gone.alive = False
        wait_until(lambda: daemon.playback.state is State.WAITING)
        before = daemon.playback.plan
        replan.append(load_config(None, OTHER_WORK))
        loading.append(lambda: dict.fromkeys(FOUR, raising))
        with pytest.raises(StemdError, match="nothing is changed: the network for vocals failed"):
            daemon.console.reload().result(5)
        assert daemon.playback.plan is before

    def test_status_and_mixer_agree_without_a_server(self, daemon, servers, replan, loading):
        gone, servers.present = servers.present, None
        gone.alive = False
        wait_until(lambda: daemon.playback.state is State.WAITING)
        replan.append(load_config(None, OTHER_WORK))
        loading.append(lambda: dict.fromkeys(FOUR, passing))
        daemon.console.reload().result(5)
        stems = daemon.console.status().result(5)["stems"]
        assert stems == [*FOUR]
        for stem in stems:
            assert daemon.console.mixer.set(stem, gain=-3).gain == -3

    def test_a_server_that_goes_meanwhile_leaves_it_to_the_next_one(
        self, daemon, servers, replan, loading
    ):
        play(daemon, SILENCE)
        replan.append(load_config(None, OTHER_WORK))
        loading.append(lambda: dict.fromkeys(FOUR, passing))
        reloading, gone = daemon.console.reload(), servers.present
        play_until(daemon, lambda: daemon.playback.session.phase is Phase.WARMING)
        gone.alive, servers.present = False, None
        assert reloading.result(10)["changed"]
        servers.present = FakeGraph()
        wait_until(
            lambda: daemon.playback.session and daemon.playback.session.client is servers.present
        )
        assert daemon.playback.session.stems == FOUR

    def test_what_comes_muted_is_never_heard(self, daemon, servers, replan, loading):
        settings = ["mixer.strips={drums: {mute: true}}", "mixer.ramp=1", *OTHER_WORK]
        rng = np.random.default_rng(1)
        replan.append(load_config(None, settings))
        loading.append(lambda: dict.fromkeys(FOUR, passing))
        play(daemon, SILENCE)
        reloading, loudest = daemon.console.reload(), {}
        while not reloading.done() or daemon.playback.session.phase is not Phase.STEADY:
            names = [*servers.present._slots]
            heard = play(daemon, 0.1 * rng.standard_normal((2, 256)).astype(np.float32))
            for name, samples in zip(names, heard, strict=False):  # while some come or go
                if [*servers.present._slots] == names:
                    loudest[name] = max(loudest.get(name, 0), float(np.abs(samples).max()))
        assert loudest["bass_L"] > 0.01
        assert loudest["drums_L"] == loudest["drums_R"] == 0

    def test_reloads_wait_for_each_other_and_there_are_two_sets_at_most(
        self, daemon, replan, loading, monkeypatch
    ):
        monkeypatch.setattr("stemd.daemon.supervisor.reloading.RELOAD_PAUSE_S", 0)
        live, most = [], []

        class OneSet:
            def __call__(self, window, out):
                passing(window, out)

        def load():
            one = OneSet()
            live[:] = [each for each in live if each()] + [weakref.ref(one)]
            most.append(len(live))
            return {"vocals": one, "accompaniment": one}

        play(daemon, SILENCE)
        for n in range(60):
            replan.append(load_config(None, [f"separation.threads={n + 2}", *BY_HAND]))
            loading.append(load)
        for n in range(4):
            reloading = daemon.console.reload()
            for _ in range(50):
                daemon.console.reload_soon()
                with pytest.raises(StemdError, match="a reload is under way: wait for its end"):
                    daemon.console.reload().result(0)
            play_until(daemon, reloading.done)
            assert reloading.result()["changed"]
            # One for this, and one for all that asked meanwhile.
            play_until(daemon, lambda so_far=2 * (n + 1): len(most) == so_far)
            play_until(daemon, lambda: not daemon.reloader._second_set.locked())
        assert len(most) == 8
        assert max(most) == 2
        assert sum(each() is not None for each in live) == 1


SILENCE = np.zeros((2, 256), np.float32)


def reload(daemon):
    """Reload while silence plays; return what has changed."""
    play(daemon, SILENCE)
    reloading = daemon.console.reload()
    play_until(daemon, reloading.done)
    return reloading.result()


def play_until(daemon, holds):
    """Play silence."""
    for _ in range(20_000):
        if holds():
            return
        play(daemon, SILENCE)
    raise AssertionError("it never came to pass")


def play(daemon, block):
    """Play a cycle, and wait until the engine has made what the next one plays."""
    session = daemon.playback.session
    heard = session.client.cycle(block)

    def is_ready(separation) -> bool:
        counters = separation.link.counters()
        reserve = round(RESERVE_S * separation.samplerate)
        is_ahead = counters.delivered - counters.frames >= block.shape[1] + reserve
        return is_ahead or separation.is_stopped

    wait_until(lambda: all(is_ready(each.separation) for each in session.swapper.lives))
    return heard


def test_the_delay_gets_longer_and_shorter_with_the_periods(servers, monkeypatch):
    monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
    monkeypatch.setattr("stemd.daemon.supervisor.room.SHORTER_AFTER_S", 0.5)
    monkeypatch.setattr(daemon_module, "TICK_S", 0.01)
    servers.present = FakeGraph()
    daemon, told = new_daemon(servers), []
    thread = threading.Thread(target=daemon.run)
    with daemon.console.bulletin.subscription(told.append):
        thread.start()
        wait_until(lambda: daemon.playback.session)
        play_until(daemon, lambda: daemon.playback.session.phase is Phase.STEADY)
        short = daemon.console.status().result(5)["delay"]["frames"]
        long_ones = np.zeros((2, 4096), np.float32)
        for _ in range(200):
            play(daemon, long_ones)
            if daemon.playback.session.rt.delay > short:
                break
        play_until(daemon, lambda: {"event": "delay", "frames": short} in told)
        assert daemon.console.status().result(5)["delay"]["frames"] == short
    daemon.console.stop()
    thread.join(10)
    delays = [each["frames"] for each in told if each["event"] == "delay"]
    assert delays == [short + 4096 - 1024, short]


class TestSlowLoad:
    """While networks are loaded everything else goes on."""

    def replan(self, before):
        assert before, "a reload waits for the first plan"
        raise ConfigError("wrong")

    @pytest.fixture
    def slow(self, servers, monkeypatch, tmp_path):
        """A daemon with a service manager, and what lets its networks be loaded."""
        monkeypatch.setattr(heartbeat, "BEAT_S", 0.0)
        monkeypatch.setattr(daemon_module, "settle_memory", lambda: None)
        go, notices = threading.Event(), []

        def load():
            assert go.wait(30)
            return dict(NETWORKS)

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(tmp_path / "notify"))
            manager.settimeout(5)
            environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
            daemon = new_daemon(servers, environment, self.replan, load=load)
            thread = threading.Thread(target=daemon.run)
            thread.start()

            def hear(notice):
                while not notices or notices[-1] != notice:
                    notices.append(manager.recv(4096).decode())

            yield daemon, go, hear, thread, notices
            daemon.console.stop()
            go.set()
            thread.join(10)
        assert not thread.is_alive()

    def test_at_the_start(self, slow, servers):
        daemon, go, hear, _, notices = slow
        servers.present = FakeGraph()
        status = daemon.console.status().result(5)
        assert (status["state"], status["stems"], status["window"]) == ("loading", [], None)
        hear("STATUS=loading the networks")
        hear("WATCHDOG=1")
        assert "READY=1" not in notices
        assert daemon.console.bypass(True).result(5)
        assert not servers.attempts, "there are no ports yet"
        reloading = daemon.console.reload()
        go.set()
        hear("READY=1")
        wait_until(lambda: daemon.playback.session)
        assert daemon.playback.state is State.BYPASSED
        with pytest.raises(StemdError, match="nothing is changed: wrong"):
            reloading.result(5)

    def test_it_ends_at_once_when_it_is_asked_to(self, slow):
        daemon, _, hear, thread, _ = slow
        hear("WATCHDOG=1")
        daemon.console.stop()
        thread.join(1)
        assert not thread.is_alive()

    def test_a_server_that_goes_while_networks_are_loaded_anew(self, slow, servers):
        daemon, go, _, _, _ = slow
        go.set()
        servers.present = first = FakeGraph()
        wait_until(lambda: daemon.playback.session)
        play_until(daemon, lambda: daemon.playback.session.phase is Phase.STEADY)
        go.clear()
        daemon.playback.session.separation.failure = RuntimeError("out of order")
        play_until(daemon, lambda: daemon.playback.session.phase is Phase.LOADING)
        assert daemon.console.status().result(5)["state"] == "recovering"
        servers.present, first.alive = FakeGraph(), False
        wait_until(lambda: daemon.playback.state is State.LOADING)
        assert daemon.console.status().result(5)["server"] is None
        for _ in range(5):
            assert daemon.console.status().result(5)["state"] == "loading"
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
        manager.settimeout(5)

        def told(notice: str) -> bool:
            heard.append(manager.recv(4096).decode())
            return heard[-1] == notice

        daemon = new_daemon(servers, {"NOTIFY_SOCKET": str(tmp_path / "notify")})
        thread = threading.Thread(target=daemon.run)
        thread.start()
        wait_until(lambda: told("STATUS=waiting for a server: no server answers"))
        wait_until(lambda: told("WATCHDOG=1"))
        daemon.console.stop()
        wait_until(lambda: told("STOPPING=1"))
        thread.join(10)
    assert heard[0] == "READY=1"


@pytest.fixture
def unobserved(monkeypatch):
    """Only the test looks whether the music flows, once the daemon has looked."""
    monkeypatch.setattr(heartbeat, "BEAT_S", 3600.0)


def await_look(daemon) -> None:
    wait_until(lambda: daemon.playback.session and isfinite(daemon.heartbeat.last))
    daemon.console.status().result(5)  # by the same thread, which is done with looking then


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
    daemon = new_daemon(servers, keeper=Keeper(tmp_path / "state.json"))
    daemon.console.mixer.put("vocals", Strip(gain=-7))
    with pytest.raises(ServerError):
        daemon.run()
    assert Keeper(tmp_path / "state.json").recall().strips["vocals"].gain == -7
