"""Every fault ends in its documented state, and stemd recovers; on the fake graph."""

import gc
import threading
import weakref
from concurrent.futures import wait
from functools import partial
from math import ceil

import numpy as np
import pytest

from fake_graph import CAPTURE, FakeGraph
from stemd.daemon.engine.link import RESERVE_S
from stemd.daemon.engine.networks import LoadedNetworks
from stemd.daemon.engine.realtime import Event
from stemd.daemon.engine.separation import ENGINE_TIME_S, OVERLOADED_AFTER, ring_prefill
from stemd.daemon.errors import ServerError, StemdError
from stemd.daemon.graph.patchbay import Patchbay
from stemd.daemon.supervisor.changes import SessionOverError, Setup
from stemd.daemon.supervisor.failures import FAILURES
from stemd.daemon.supervisor.health import HUNG_S, STOOD_STILL_S, WEDGED_S
from stemd.daemon.supervisor.room import MOST_S, Room
from stemd.daemon.supervisor.session import (
    REMOVED_S,
    SUSPENDED_S,
    TICK_S,
    ServerGoneError,
    Session,
)
from stemd.daemon.supervisor.state import State
from stemd.daemon.supervisor.swap import Phase
from stemd.daemon.supervisor.swapping import LOAD_AGAIN_S
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import Scheme
from stemd.tflite_models.errors import ModelError
from waiting import PATIENCE_S, until, wait_until

SCHEME = Scheme(T=64, B=1, A=1)
PERIOD = 1024


def passing(window, out):
    out[:] = window[-SCHEME.B - SCHEME.A : -SCHEME.A]


class Stuck:
    """A network that waits until it may go on, in each call while it is closed."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()

    def __call__(self, window, out) -> None:
        assert self.open.wait(PATIENCE_S)
        passing(window, out)


class Failing:
    """A network that fails once it is told to."""

    def __init__(self) -> None:
        self.broken = False

    def __call__(self, window, out) -> None:
        if self.broken:
            raise RuntimeError("out of order")
        passing(window, out)


class Stage:
    """A session on the fake graph, noise through it, and a clock of its own."""

    def __init__(self, vocals=passing, longest_period=PERIOD, scheme=SCHEME) -> None:
        self.graph = FakeGraph(period=PERIOD)
        self.loaded = -1
        self._vocals = vocals
        self.played: list[np.ndarray] = []
        self.heard: list[np.ndarray] = []
        self.now = 0.0
        self._rng = np.random.default_rng(1)
        self.session = Session(
            self.graph,
            Setup(LoadedNetworks(self._load), scheme, MaskExtension.MEAN, longest_period),
            Patchbay({}),
        )

    def _load(self):
        self.loaded += 1
        return {"vocals": passing if self.loaded else self._vocals, "accompaniment": passing}

    def cycle(self, count: int = 1, frames: int = PERIOD) -> None:
        for _ in range(count):
            self.played.append(0.1 * self._rng.standard_normal((2, frames)).astype(np.float32))
            self.heard.append(self.graph.cycle(self.played[-1]))
            self.now += frames / self.graph.samplerate

    def tick(self, waits: bool = True) -> State:
        """Look after the session, once the other threads have done what they are at."""
        if waits:
            wait([self.session.swapper.job], timeout=PATIENCE_S)
        self.session.tick(self.session.rt.wait_events(0), self.now)
        return self.session.state

    def be_silent(self, seconds: float) -> State:
        """Look after the session for so long, while the server does not call."""
        for _ in range(ceil(seconds / TICK_S)):
            self.now += TICK_S
            self.tick()
        return self.session.state

    def until(self, state: State, cycles: int = 400) -> None:
        """Play in time with the engine until the session is in a state."""
        for _ in range(cycles):
            self.play(1)
            if self.session.state is state:
                return
        raise AssertionError(f"not {state} but {self.session.state}")

    def play(self, count: int, frames: int = PERIOD) -> None:
        """Play in time with the engine."""
        for _ in range(count):
            self.cycle(frames=frames)
            self.wait_for_engine(frames)
            self.tick()

    def wait_for_engine(self, frames: int = PERIOD) -> None:
        """Wait until the next cycle finds all it wants."""
        for each in self.session.swapper.lives:
            self.wait_for_engine_of(each.separation, frames)

    def wait_for_engine_of(self, separation, frames: int = PERIOD) -> None:
        """Wait for one of them; it tells nobody, so look."""
        wanted = frames + round(RESERVE_S * self.graph.samplerate)
        pause = threading.Event()
        for _ in range(0 if separation.is_stopped else 3000):
            counters = separation.link.counters()
            if counters.delivered - counters.frames >= wanted or separation.failure:
                break
            pause.wait(0.001)

    def total(self) -> np.ndarray:
        """Sum of the stems less the input that long ago [shape=(CHANNELS, frames)]."""
        sums = [block.reshape(-1, 2, block.shape[1]).sum(axis=0) for block in self.heard]
        out = np.concatenate(sums, axis=1)
        x = np.concatenate(self.played, axis=1)
        delay = self.session.separation.delay
        return out[:, delay:] - x[:, : out.shape[1] - delay]

    def close(self) -> None:
        self.session.close()


@pytest.fixture
def stage():
    stages = []

    def make(*arguments, **more):
        stages.append(Stage(*arguments, **more))
        return stages[-1]

    yield make
    for each in stages:
        each.close()
    wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("stemd")])


@pytest.mark.parametrize("samplerate", [22_050, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("longest", [16, 100, 1024, 8192])
def test_prefill_is_the_longest_period_and_the_engines_time(samplerate, longest):
    assert ring_prefill(longest, samplerate) - longest >= ENGINE_TIME_S * samplerate


def test_late_networks_are_counted_and_the_sum_stays_whole(stage):
    network = Stuck()
    s = stage(network)
    s.until(State.PLAYING)
    network.open.clear()
    s.until(State.OVERLOADED)
    blocks = s.session.separation.report().blocks
    assert blocks.late >= OVERLOADED_AFTER
    s.play(40)
    assert not s.heard[-1][:2].any(), "the vocals are silent"
    network.open.set()
    s.until(State.PLAYING)
    s.play(40)
    assert s.heard[-1][:2].any()
    assert s.session.separation.report().link.dry_frames > 0
    assert np.abs(s.total()).max() < 1e-4


def test_a_network_that_fails_is_loaded_anew(stage, caplog):
    network = Failing()
    s = stage(network)
    s.until(State.PLAYING)
    network.broken = True
    s.until(State.RECOVERING)
    assert "the separation failed: the network for vocals failed: out of order" in caplog.text
    s.until(State.PLAYING)
    assert s.loaded == 1
    s.play(60)
    assert np.abs(s.total()).max() < 1e-4
    assert s.heard[-1][:2].any()


def test_networks_that_cannot_be_loaded_now_are_loaded_later(stage, monkeypatch, caplog):
    network = Failing()
    s = stage(network)
    s.until(State.PLAYING)
    loads, load_anew = [], s.session.networks.load_anew

    def load():
        loads.append(s.now)
        if len(loads) < 3:
            raise ModelError("vocals.tflite is missing")
        load_anew()

    monkeypatch.setattr(s.session.networks, "load_anew", load)
    network.broken = True
    s.until(State.RECOVERING)
    for _ in range(int(1.5 * LOAD_AGAIN_S * 44_100 / PERIOD)):
        s.cycle()
        s.tick()
    assert caplog.text.count("vocals.tflite is missing; the next attempt is in 10 s") == 2
    assert s.session.state is State.RECOVERING
    assert np.abs(s.total()).max() < 1e-4, "the dry signal is heard"
    for _ in until(lambda: len(loads) >= 3):
        s.cycle()
        s.tick()
    s.until(State.PLAYING)
    assert np.diff(loads) == pytest.approx(LOAD_AGAIN_S, abs=3 * PERIOD / 44_100)


def test_what_fails_again_and_again_is_given_up(stage, monkeypatch):
    network = Failing()
    network.broken = True
    s = stage(network)
    monkeypatch.setattr(s.session.networks, "load_anew", lambda: None)
    with pytest.raises(StemdError, match=rf"failed {FAILURES} times within 60 s.*out of order"):
        s.until(State.WAITING)


def test_an_engine_that_hangs_is_replaced(stage, monkeypatch, caplog):
    s = stage()
    s.until(State.PLAYING)
    hanging, go = threading.Event(), threading.Event()

    def hang(*_):
        hanging.set()
        assert go.wait(PATIENCE_S)

    monkeypatch.setattr("stemd.daemon.engine.engine.STOP_S", 0.01)
    first = s.session.separation
    monkeypatch.setattr(first._engine, "_serve", hang)
    s.cycle()
    assert hanging.wait(PATIENCE_S)
    for _ in range(int(1.2 * WEDGED_S * 44_100 / PERIOD)):
        s.cycle()
        s.tick()
    assert "nothing came out for 2 s" in caplog.text
    s.until(State.PLAYING)
    assert s.session.separation is not first
    s.play(60)
    assert np.abs(s.total()[:, -20 * PERIOD :]).max() < 1e-4
    go.set()


FOUR = ("vocals", "drums", "bass", "other")


def playing(*stems):
    return LoadedNetworks(lambda: dict.fromkeys(stems, passing))


def ports_of(*stems):
    return ["in_L", "in_R", *(f"{stem}_{side}" for stem in stems for side in "LR")]


def setup(networks, scheme=SCHEME, longest_period=PERIOD) -> Setup:
    return Setup(networks, scheme, MaskExtension.MEAN, longest_period)


def change(s, *wishes) -> None:
    """Have the session go over to others, and play until it has."""
    changing = s.session.change(setup(*wishes))
    for _ in range(400):
        s.play(1)
        assert s.session.state not in (State.RECOVERING, State.SILENT)
        if changing.ended.done():
            changing.done.result(0)
            assert {*s.graph.ports} == {*ports_of(*wishes[0].stems)}
            return
    raise AssertionError("it never went over")


def test_other_stems_come_with_their_ports_and_the_sum_stays_whole_throughout(stage):
    s = stage()
    s.until(State.PLAYING)
    change(s, playing(*FOUR), SCHEME, PERIOD)
    assert s.graph.ports == ports_of(*FOUR)
    s.play(20)
    assert s.heard[-1].shape[0] == 8
    assert np.abs(s.heard[-1]).max(axis=1).min() > 0, "every stem is heard"
    change(s, playing("vocals", "accompaniment"), SCHEME, PERIOD)
    s.play(20)
    assert s.graph.ports == ports_of("vocals", "accompaniment")
    assert np.abs(s.total()).max() < 1e-4


def test_another_scheme_takes_over_when_it_is_warm_and_is_declared(stage):
    s = stage()
    s.until(State.PLAYING)
    before = s.session.rt.delay
    change(s, playing(*FOUR), Scheme(T=64, B=2, A=5), PERIOD)
    assert s.session.rt.delay > before
    s.play(60)
    assert {low for low, _ in s.graph.latencies.values()} >= {s.session.rt.delay}
    assert np.abs(s.total()[:, -40 * PERIOD :]).max() < 1e-4


def test_bypass_holds_while_others_come(stage):
    s = stage()
    s.until(State.PLAYING)
    s.play(60)
    changing = s.session.change(setup(playing("vocals", "accompaniment")))
    s.play(2)
    s.session.bypass(True)
    s.play(60)
    assert changing.ended.done()
    assert not s.heard[-1][:2].any(), "the vocals are silent"
    vocals = np.concatenate([block[0] for block in s.heard[-55:]])
    assert not vocals.any(), "and were so from the beginning on"
    assert np.abs(s.total()).max() < 1e-4


def test_another_change_waits_until_the_last_one_has_ended(stage):
    s = stage()
    s.until(State.PLAYING)
    first = s.session.change(setup(playing(*FOUR)))
    for _ in until(first.ended.done):
        with pytest.raises(StemdError, match="another change is under way"):
            s.session.change(setup(playing("vocals", "accompaniment")))
        s.play(1)
    change(s, playing("vocals", "accompaniment"), SCHEME, PERIOD)
    s.play(60)
    assert s.graph.ports == ports_of("vocals", "accompaniment")
    assert np.abs(s.total()).max() < 1e-4
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("stemd-engine") == 1


def test_a_rate_that_changes_while_others_come_is_followed(stage):
    s = stage()
    s.until(State.PLAYING)
    s.session.change(setup(playing(*FOUR)))
    s.play(2)
    s.graph.samplerate = 48_000
    s.play(400)
    assert s.session.separation.samplerate == 48_000
    assert s.session.state is State.PLAYING
    assert s.graph.ports == ports_of(*FOUR)


def test_ports_that_nothing_uses_any_more_stay_while_a_cycle_may(stage, monkeypatch):
    s = stage()
    s.until(State.PLAYING)
    change(s, playing(*FOUR))
    s.graph.freewheel(True)  # a cycle may wait for an engine, for long
    changing = s.session.change(setup(playing("vocals", "accompaniment")))
    for _ in until(changing.ended.done):
        s.play(1)
    s.play(2)
    assert {*ports_of(*FOUR)} < {*s.graph.ports}
    s.graph.freewheel(False)
    remove, answers = s.graph.remove_outputs, [False]  # the last cycle goes on
    monkeypatch.setattr(
        s.graph, "remove_outputs", lambda slots: answers.pop() if answers else remove(slots)
    )
    s.play(1)
    assert {*ports_of(*FOUR)} < {*s.graph.ports}
    s.play(1)
    assert {*s.graph.ports} == {*ports_of("vocals", "accompaniment")}
    change(s, playing(*FOUR))
    assert {*s.graph.ports} == {*ports_of(*FOUR)}


def test_no_room_for_more_ports_changes_nothing(stage, monkeypatch):
    s = stage()
    s.until(State.PLAYING)
    first = s.session.separation

    def refuse(_):
        raise ServerError("no room for more")

    monkeypatch.setattr(s.graph, "add_outputs", refuse)
    changing = s.session.change(setup(playing(*FOUR)))
    s.play(60)
    with pytest.raises(ServerError, match="no room"):
        changing.done.result(0)
    assert changing.ended.done()
    assert s.session.separation is first
    assert np.abs(s.total()).max() < 1e-4


def test_masks_are_extended_otherwise_without_a_gap(stage):
    s = stage()
    s.until(State.PLAYING)
    s.play(30)
    s.session.extend_masks(MaskExtension.ZEROS)
    s.play(60)
    missing = s.total()[0, -20 * PERIOD :]
    spectrum = np.abs(np.fft.rfft(missing * np.hanning(missing.size)))
    edge = len(spectrum) // 2  # 11 kHz
    assert spectrum[edge + 200 :].mean() > 100 * spectrum[: edge - 200].mean()
    s.session.extend_masks(MaskExtension.MEAN)
    s.play(60)
    assert np.abs(s.total()[:, -20 * PERIOD :]).max() < 1e-4


LONG = Scheme(T=192, B=96, A=1)
"""Of which a separation that fails before it is heard is kept for longer than `WEDGED_S`."""


def is_replaced(coming, failed) -> bool:
    return bool(coming) and coming.separation is not failed


def test_a_separation_that_fails_before_it_is_heard_fails_once(stage, monkeypatch, caplog):
    s = stage(scheme=LONG)
    loads = []
    monkeypatch.setattr(s.session.networks, "load_anew", lambda: loads.append(s.now))
    s.play(10)
    s.graph.samplerate = 48_000
    s.play(10)
    failed = s.session.swapper.coming.separation
    failed.failure = RuntimeError("out of order")
    for _ in until(lambda: is_replaced(s.session.swapper.coming, failed)):
        s.cycle()
        s.tick()
    assert s.session.state is State.RECOVERING
    assert caplog.text.count("the separation failed") == len(loads) == 1


@pytest.mark.parametrize(
    "step",
    ["bind", "add_outputs", "add_midi", "add_midi_out", "activate", "declare_latency"],
)
def test_a_client_that_refuses_a_step_leaves_no_thread_behind(step, monkeypatch):
    def refuse(*_):
        raise ServerError("it is ending")

    monkeypatch.setattr(graph := FakeGraph(), step, refuse)
    loaded = LoadedNetworks(lambda: {"vocals": passing})
    with pytest.raises(ServerError, match="it is ending"):
        wanted = dict.fromkeys(("has_midi", "has_midi_out", "has_mix"), True)
        Session(graph, setup(loaded, SCHEME, 64), Patchbay({}), **wanted)
    assert not [t for t in threading.enumerate() if t.name.startswith("stemd")]


def test_what_is_replaced_is_forgotten(stage):
    network = Failing()
    s = stage(network)
    s.until(State.PLAYING)
    first = weakref.ref(s.session.separation)
    network.broken = True
    s.until(State.RECOVERING)
    s.until(State.PLAYING)
    s.play(60)
    assert first() is None


def test_a_network_that_hangs_is_loaded_anew(stage, monkeypatch, caplog):
    network = Stuck()
    s = stage(network)
    s.until(State.PLAYING)
    monkeypatch.setattr("stemd.daemon.engine.workers.STOP_S", 0.01)
    network.open.clear()
    s.until(State.OVERLOADED)
    s.until(State.RECOVERING, cycles=int(1.2 * HUNG_S * 44_100 / PERIOD))
    assert "a network did not end within 10 s" in caplog.text
    s.until(State.PLAYING)
    s.play(60)
    assert np.abs(s.total()).max() < 1e-4
    for _ in until(lambda: s.session.phase is Phase.STEADY):
        s.play(1)
    assert s.session.networks.by_stem, "only the set that hangs is given up"
    network.open.set()


def test_a_network_that_hangs_in_a_bounce_does_not_hold_it_without_end(stage, monkeypatch):
    network = Stuck()
    s = stage(network)
    s.until(State.PLAYING)
    monkeypatch.setattr("stemd.daemon.engine.engine.STOP_S", 0.01)
    monkeypatch.setattr("stemd.daemon.engine.workers.STOP_S", 0.01)
    s.graph.call("freewheel", "void(*)(int, void *)", 1)
    network.open.clear()
    bounce = threading.Thread(target=s.cycle, args=(4,))
    bounce.start()
    began = s.now
    for n in range(int(4 * HUNG_S)):
        s.session.tick(s.session.rt.wait_events(0.02), began + n / 2)
        if s.loaded:
            break
    bounce.join(PATIENCE_S)  # else it would wait for ever
    assert not bounce.is_alive()
    assert s.loaded == 1
    network.open.set()


def test_another_sample_rate_gets_another_separation_and_its_delay_is_declared(stage):
    s = stage()
    s.until(State.PLAYING)
    before = s.session.rt.delay
    s.graph.samplerate = 48_000
    s.session.tick(Event.RATE, s.now)
    s.play(120)
    assert s.session.separation.samplerate == 48_000
    assert s.session.rt.delay == s.session.separation.delay > before
    assert s.graph.latencies[1, 0, CAPTURE] == (s.session.rt.delay, s.session.rt.delay)
    assert s.loaded == 0, "the networks are the same"
    s.until(State.PLAYING)  # a machine that stands still overloads it for a while


def test_shorter_periods_change_nothing(stage):
    s = stage()
    first = s.session.separation
    s.until(State.PLAYING)
    for frames in (256, 1000, 17, 1024):
        s.wait_for_engine(frames)
        s.play(30, frames)
    assert s.session.separation is first
    assert first.report().link.late_frames == 0
    assert np.abs(s.total()).max() < 1e-4


def test_a_longer_period_gets_a_separation_with_room_for_it(stage):
    s = stage(longest_period=512)
    assert s.session.separation.longest_period == PERIOD, "what the server has, at least"
    s.until(State.PLAYING)
    s.play(40, 4096)
    assert s.session.separation.longest_period == 4096
    late = s.session.separation.report().link.late_frames
    s.play(40, 4096)
    assert s.session.separation.report().link.late_frames == late


def test_a_server_that_does_not_call_is_silent_not_dead(stage):
    s = stage()
    s.until(State.PLAYING)
    assert s.be_silent(1.5) is State.SILENT
    assert s.be_silent(100) is State.SILENT
    s.cycle()
    assert s.tick() is State.PLAYING


def test_a_process_that_stood_still_has_not_failed(stage, monkeypatch, caplog):
    s = stage()
    s.until(State.PLAYING)
    first = s.session.separation
    before = first.link.counters()
    s.now += 5
    with monkeypatch.context() as patched:  # the server's thread goes on first, the engine last
        patched.setattr(first.link, "counters", lambda: before)
        s.cycle()
        assert s.tick() is State.PLAYING
    s.play(20)
    assert s.session.separation is first
    assert "failed" not in caplog.text


@pytest.mark.parametrize("tick_s", [0.9, 1.1, 30.0])
def test_a_network_that_hangs_is_found_however_rarely_the_main_thread_looks(
    stage, monkeypatch, caplog, tick_s
):
    network = Stuck()
    s = stage(network)
    s.until(State.PLAYING)
    monkeypatch.setattr("stemd.daemon.engine.workers.STOP_S", 0.01)
    network.open.clear()
    for _ in range(ceil((HUNG_S + 2) / min(tick_s, STOOD_STILL_S))):
        s.cycle(20)
        s.wait_for_engine()
        s.now += tick_s
        s.tick()
        if s.session.state is State.RECOVERING:
            break
    assert "a network did not end within 10 s" in caplog.text
    network.open.set()


def test_a_network_that_hangs_is_found_where_the_server_calls_with_pauses(
    stage, monkeypatch, caplog
):
    network = Stuck()
    s = stage(network)
    s.until(State.PLAYING)
    monkeypatch.setattr("stemd.daemon.engine.workers.STOP_S", 0.01)
    network.open.clear()
    for _ in range(ceil(HUNG_S) + 2):
        for _ in range(5):
            s.cycle(8)
            s.wait_for_engine()
            s.tick()
        s.be_silent(0.75)
        if s.session.state is State.RECOVERING:
            break
    assert "a network did not end within 10 s" in caplog.text
    network.open.set()


def test_pauses_of_the_main_thread_or_the_server_are_no_failure(stage, caplog):
    s = stage()
    s.until(State.PLAYING)
    first = s.session.separation
    for pause_s in (0.3, 0.9, 1.1, 1.9, 2.5, 30.0, 3600.0):
        for _ in range(4):
            s.now += pause_s  # the main thread's; the engine keeps up
            s.play(1)
        for _ in range(4):
            s.be_silent(min(pause_s, 30.0))
            s.play(1)
    assert s.session.separation is first
    assert s.session.state is State.PLAYING
    assert "failed" not in caplog.text


def test_a_process_that_stood_still_draws_no_conclusions(stage, monkeypatch):
    s = stage()
    s.until(State.PLAYING)
    changing = s.session.change(setup(playing(*FOUR)))
    s.tick()
    with monkeypatch.context() as patched:  # the server ends its cycle only after this look
        patched.setattr(s.graph, "port_names", list)
        s.now += 10 * SUSPENDED_S
        assert s.tick() is State.PLAYING
    assert not changing.done.done(), "nothing of it was heard"
    s.tick()
    for _ in until(changing.ended.done):
        s.play(1)
    changing.done.result(0)


def test_long_periods_at_a_low_rate_are_no_silence():
    graph = FakeGraph(samplerate=8000, period=8192)  # 1.02 s
    networks = LoadedNetworks(lambda: dict.fromkeys(("vocals", "accompaniment"), passing))
    session = Session(graph, setup(networks), Patchbay({}))
    silence, now = np.zeros((2, graph.period), np.float32), 0.0
    try:
        for _ in range(3):
            graph.cycle(silence)
            session.tick(session.rt.wait_events(0), now)
            now += 1.02
            session.tick(session.rt.wait_events(0), now)
            assert session.state is not State.SILENT, "just before the next cycle"
        for _ in range(5):
            now += TICK_S
            session.tick(session.rt.wait_events(0), now)
        assert session.state is State.SILENT
    finally:
        session.close()


@pytest.mark.parametrize("sign", ["callback", "server watch"])
def test_the_servers_end_ends_the_session(stage, sign):
    s = stage()
    s.graph.alive = sign != "server watch"
    with pytest.raises(ServerGoneError):
        s.session.tick(Event.SHUTDOWN if sign == "callback" else Event(0), s.now)


@pytest.mark.parametrize("removed", ["in_R", "vocals_L", "accompaniment_R", "all"])
def test_a_client_whose_ports_another_program_removed_ends(stage, monkeypatch, removed):
    s = stage()
    s.tick()
    left = [port for port in s.graph.port_names() if removed not in ("all", port[6:])]
    monkeypatch.setattr(s.graph, "port_names", lambda: left)
    s.be_silent(0.9 * REMOVED_S)
    with pytest.raises(StemdError, match="another program removed stemd"):
        s.be_silent(0.2 * REMOVED_S)


def test_bypass_outlives_a_change_of_separation(stage):
    s = stage()
    s.until(State.PLAYING)
    s.session.bypass(True)
    s.until(State.BYPASSED)
    s.graph.samplerate = 48_000
    s.play(120)
    assert s.session.state is State.BYPASSED
    assert not s.heard[-1][:2].any()
    s.session.bypass(False)
    s.until(State.PLAYING)


class Counted:
    """Loads sets of networks, and counts those that are in memory."""

    def __init__(self, *stems, network=passing, scheme=None) -> None:
        self.live: list[weakref.ref] = []
        self.most = 0
        self._stems, self._network = stems, network
        self.networks = LoadedNetworks(self.load, scheme)

    def load(self):
        one_set = _Set()
        self.live = [each for each in self.live if each()] + [weakref.ref(one_set)]
        self.most = max(self.most, len(self.live))
        network = self._network

        def call(window, out, one_set=one_set):
            network(window, out)

        return {stem: partial(call) for stem in self._stems}


class _Set:
    """What is in memory as long as any network of a set is."""


def raising(_, out) -> None:
    raise RuntimeError("out of order")


def sleeping(window, out) -> None:
    """Take thirty times as long as there is."""
    threading.Event().wait(0.7)
    passing(window, out)


class RaisingLater:
    """A network that fails at its third block."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, window, out) -> None:
        self.calls += 1
        if self.calls > 2:
            raise RuntimeError("out of order")
        passing(window, out)


def same_as_alone(s, alone) -> None:
    """What was heard is what a session gives to which nothing happens, bit for bit."""
    alone.until(State.PLAYING)
    alone.play(len(s.heard) - len(alone.heard))
    for heard, undisturbed in zip(s.heard, alone.heard, strict=True):
        np.testing.assert_array_equal(heard[:4], undisturbed)


@pytest.mark.parametrize("network", [lambda: raising, RaisingLater], ids=["at once", "later"])
def test_others_that_fail_are_taken_back_and_nothing_is_changed(stage, network):
    s, alone = stage(), stage()
    for each in (s, alone):
        each.graph.freewheel(True)  # nothing is late, however busy the machine is
    s.until(State.PLAYING)
    s.play(40)
    committed = []
    others = LoadedNetworks(lambda: {stem: network() for stem in FOUR})
    first, delay = s.session.separation, s.session.rt.delay
    scheme = Scheme(T=64, B=2, A=9)
    changing = s.session.change(setup(others, scheme), lambda: committed.append(1))
    for _ in until(changing.ended.done):
        s.play(1)
        assert s.session.state is State.PLAYING
        assert s.session.stems == ("vocals", "accompaniment"), "what is heard"
    with pytest.raises(StemdError, match=r"the network for .* failed: out of order"):
        changing.done.result(0)
    s.play(40)
    assert not committed
    assert s.session.phase is Phase.STEADY
    assert s.session.separation is first
    assert s.session.rt.delay == delay
    same_as_alone(s, alone)
    s.graph.freewheel(False)
    s.play(1)
    assert s.graph.ports == ports_of("vocals", "accompaniment")
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("stemd-engine") == 2, "of both sessions"
    change(s, playing(*FOUR))


def test_others_that_do_not_keep_up_are_taken_back(stage, monkeypatch):
    monkeypatch.setattr("stemd.daemon.supervisor.health.KEEP_UP_S", 1.0)
    s = stage()
    s.until(State.PLAYING)
    others = LoadedNetworks(lambda: {"vocals": passing, "accompaniment": sleeping})
    changing = s.session.change(setup(others))
    for _ in until(changing.ended.done):
        s.play(1)
    with pytest.raises(StemdError, match=r"do not keep up: \d+ of \d+ blocks were late"):
        changing.done.result(0)
    s.play(20)
    assert np.abs(s.total()).max() < 1e-4


def test_others_that_hang_are_taken_back(stage, monkeypatch):
    monkeypatch.setattr("stemd.daemon.engine.workers.STOP_S", 0.01)
    monkeypatch.setattr("stemd.daemon.supervisor.health.KEEP_UP_S", 60.0)
    s = stage()
    s.until(State.PLAYING)
    stuck = Stuck()
    stuck.open.clear()
    changing = s.session.change(setup(LoadedNetworks(lambda: {"vocals": stuck})))
    for _ in range(int(2 * HUNG_S * 44_100 / PERIOD)):
        s.cycle()
        s.wait_for_engine_of(s.session.separation)
        s.tick()
        if changing.ended.done():
            break
    with pytest.raises(StemdError, match="a network did not end within 10 s"):
        changing.done.result(0)
    s.until(State.PLAYING)
    assert not changing.setup.networks.by_stem, "the set may not be used any more"
    assert np.abs(s.total()).max() < 1e-4
    stuck.open.set()


def test_it_is_certain_before_anything_of_it_is_heard(stage):
    s = stage()
    s.until(State.PLAYING)
    s.play(20)
    at = []
    changing = s.session.change(setup(playing(*FOUR)), lambda: at.append(len(s.heard)))
    for _ in until(changing.ended.done):
        s.play(1)
    drums = [block.shape[0] > 4 and bool(block[4:6].any()) for block in s.heard]
    assert at[0] <= drums.index(True) <= at[0] + 2


def test_where_the_server_does_not_call_others_are_taken_at_once(stage):
    s = stage()
    s.until(State.PLAYING)
    s.play(20)
    s.tick()
    assert s.be_silent(1.5) is State.SILENT
    changing = s.session.change(setup(playing(*FOUR)))
    s.tick()
    assert not changing.done.done(), "the server may just be busy"
    s.be_silent(SUSPENDED_S)
    assert changing.done.done()
    assert changing.ended.done(), "what is not heard any more is gone"
    assert changing.done.exception() is None
    s.cycle()
    s.until(State.PLAYING)
    assert s.session.separation.stems == FOUR


def test_so_they_are_before_the_first_cycle(stage):
    s = stage()
    s.tick()
    assert s.be_silent(1.5) is State.SILENT
    changing = s.session.change(setup(playing(*FOUR)))
    s.tick()
    assert not changing.done.done(), "the server may just be busy"
    s.be_silent(SUSPENDED_S)
    assert changing.ended.done()
    assert changing.done.exception() is None
    s.cycle()
    s.until(State.PLAYING)
    assert s.session.separation.stems == FOUR
    s.play(60)
    assert np.abs(s.total()[:, -20 * PERIOD :]).max() < 1e-4


def test_a_change_ends_a_recovery_that_cannot_load_its_networks(stage, monkeypatch):
    """While networks cannot be loaded, others can be asked for."""
    network = Failing()
    s = stage(network)
    s.until(State.PLAYING)

    def refuse():
        raise ModelError("vocals.tflite is missing")

    monkeypatch.setattr(s.session.networks, "load_anew", refuse)
    network.broken = True
    s.until(State.RECOVERING)
    for _ in until(lambda: s.session.phase is Phase.PAUSING):
        s.play(1)
    changing = s.session.change(setup(playing(*FOUR)))
    s.until(State.PLAYING)
    for _ in until(changing.ended.done):
        s.play(1)
    assert s.session.separation.stems == FOUR


def test_what_was_ended_in_vain_is_replaced_although_it_would_fit_again(stage, monkeypatch):
    s = stage()
    s.until(State.PLAYING)

    def refuse():
        raise ModelError("vocals.tflite is missing")

    with monkeypatch.context() as missing:
        missing.setattr(s.session.networks, "ensure", refuse)
        for _ in until(lambda: s.session.phase is Phase.PAUSING):
            s.play(1, 4096)
        failing = LoadedNetworks(lambda: dict.fromkeys(FOUR, raising))
        changing = s.session.change(setup(failing))
        for _ in until(changing.ended.done):
            s.play(1)
    s.until(State.PLAYING, cycles=int(1.2 * LOAD_AGAIN_S * 44_100 / PERIOD))


def test_what_plays_fails_while_others_come_and_they_replace_it(stage):
    network = Failing()
    s = stage(network)
    s.until(State.PLAYING)
    s.play(20)
    changing = s.session.change(setup(playing(*FOUR), Scheme(T=64, B=2, A=20)))
    s.play(4)
    network.broken = True
    s.until(State.RECOVERING)
    s.until(State.PLAYING)
    assert changing.done.exception(0) is None
    assert s.loaded == 0, "nothing else was loaded"
    assert s.session.separation.stems == FOUR


def test_a_bounce_does_not_wait_for_what_fails_while_others_come(stage, monkeypatch):
    monkeypatch.setattr("stemd.daemon.engine.engine.STOP_S", 0.01)
    monkeypatch.setattr("stemd.daemon.engine.workers.STOP_S", 0.01)
    network = Stuck()
    s = stage(network)
    s.until(State.PLAYING)
    s.play(20)
    s.graph.freewheel(True)
    changing = s.session.change(setup(playing(*FOUR), Scheme(T=64, B=2, A=20)))
    s.play(1)
    assert s.session.phase is Phase.WARMING
    network.open.clear()
    bounce = threading.Thread(target=s.cycle, args=(100,))
    bounce.start()
    began = s.now
    for n in range(int(4 * HUNG_S)):
        phase = s.session.phase
        s.session.tick(s.session.rt.wait_events(0.02), began + n / 2)
        if s.session.state is State.RECOVERING:
            break
    assert phase is Phase.WARMING, "when it failed; the bounce may go on at once"
    bounce.join(PATIENCE_S)  # else it would wait for ever
    assert not bounce.is_alive()
    assert changing.setup.networks.by_stem
    network.open.set()


def test_both_fail_and_what_played_recovers(stage):
    network = Failing()
    s = stage(network)
    s.until(State.PLAYING)
    s.play(20)
    others = LoadedNetworks(lambda: {stem: RaisingLater() for stem in FOUR})
    changing = s.session.change(setup(others))
    network.broken = True
    s.until(State.RECOVERING)
    s.until(State.PLAYING)
    s.play(60)
    assert isinstance(changing.done.exception(0), StemdError)
    assert s.session.separation.stems == ("vocals", "accompaniment")
    assert s.heard[-1][:2].any()


def test_the_sessions_end_leaves_it_to_the_next_one(stage):
    s = stage()
    s.until(State.PLAYING)
    changing = s.session.change(setup(playing(*FOUR)))
    s.play(2)
    s.close()
    assert isinstance(changing.done.exception(0), SessionOverError)
    assert changing.ended.done()
    s.close = lambda: None


def test_while_networks_are_loaded_the_session_is_looked_after(stage):
    network, go = Failing(), threading.Event()
    s = stage(network)
    s.until(State.PLAYING)
    load = s._load

    def slow():
        assert go.wait(PATIENCE_S)
        return load()

    s.session.networks._load = slow
    network.broken = True
    s.until(State.RECOVERING)
    for _ in range(40):
        s.cycle()
        assert s.tick(waits=False) is State.RECOVERING
    assert s.session.phase is Phase.LOADING
    assert s.session.separation.is_stopped
    s.graph.alive = False
    with pytest.raises(ServerGoneError):
        s.tick(waits=False)
    go.set()


def test_there_are_never_more_than_two_sets_of_networks_in_memory(stage):
    s = stage()
    counted = Counted("vocals", "accompaniment")
    change(s, counted.networks)
    counted.networks = None  # only the session has them
    assert counted.most == 1
    network = Failing()
    for n in range(3):
        s.until(State.PLAYING)
        s.play(10)
        s.session.separation.failure = RuntimeError(f"broken {n}")
        s.until(State.RECOVERING)
        s.until(State.PLAYING)
        for _ in until(lambda: s.session.phase is Phase.STEADY):
            s.play(1)
    assert counted.most == 1, "what has failed is gone before others are loaded"
    other = Counted(*FOUR, network=network)
    change(s, other.networks)
    gc.collect()
    assert not [each for each in counted.live if each()], "what was replaced is gone"
    assert len([each for each in other.live if each()]) == 1


def test_networks_that_hang_again_and_again_end_it(stage, monkeypatch):
    monkeypatch.setattr("stemd.daemon.engine.workers.STOP_S", 0.01)
    monkeypatch.setattr("stemd.daemon.engine.engine.STOP_S", 0.01)
    stuck = Stuck()
    s = stage(stuck)
    s.session.networks._load = lambda: {"vocals": stuck, "accompaniment": passing}
    s.until(State.PLAYING)
    s.play(10)
    stuck.open.clear()
    with pytest.raises(StemdError, match="hang again and again"):
        for _ in range(int(4 * HUNG_S * 44_100 / PERIOD)):
            s.cycle()
            s.tick()
    stuck.open.set()


class TestRoom:
    """The delay follows the longest period, both ways."""

    def long_period_has_passed(self, s) -> None:
        s.until(State.PLAYING)
        s.play(40, 4096)
        assert s.session.separation.longest_period == 4096
        s.until(State.PLAYING)

    def test_it_can_be_shorter_once_periods_have_been_for_some_time(self, stage, monkeypatch):
        monkeypatch.setattr("stemd.daemon.supervisor.room.SHORTER_AFTER_S", 1.0)
        s = stage()
        before = s.session.rt.delay
        self.long_period_has_passed(s)
        assert s.session.rt.delay == before + 3072
        s.play(35)
        assert not s.session.room.can_shorten, "it is too soon"
        s.play(2, 4096)
        s.play(35)
        assert not s.session.room.can_shorten, "a long one came meanwhile"
        s.play(10)
        assert s.session.room.can_shorten
        change(s, playing("vocals", "accompaniment"))
        assert s.session.rt.delay == before
        assert not s.session.room.can_shorten
        s.play(60)
        assert np.abs(s.total()[:, -20 * PERIOD :]).max() < 1e-4

    def test_after_each_attempt_it_waits_twice_as_long(self):
        room, now = Room(), 0.0

        def waits_s() -> float:
            nonlocal now
            began = now
            while not room.can_shorten:
                room.look(True, True, now)
                now += 1
            room.attempt()
            return now - began

        waits = [waits_s() for _ in range(9)]
        assert waits[1] - 1 == 2 * (waits[0] - 1)
        assert waits[-1] - 1 == waits[-2] - 1 == MOST_S
        room.look(True, False, now)
        room.look(False, True, now)
        assert waits_s() == waits[0], "the last attempt was a success"

    def test_it_never_can_where_it_has_no_room(self, stage, monkeypatch):
        monkeypatch.setattr("stemd.daemon.supervisor.room.SHORTER_AFTER_S", 1.0)
        s = stage()
        s.until(State.PLAYING)
        s.play(60)
        assert not s.session.room.can_shorten
