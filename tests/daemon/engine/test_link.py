"""The compiled side's contract: every frame in its place, every miss counted, nothing cut off."""

import gc
import os
import threading
import weakref
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_graph import CAPTURE, PLAYBACK, FakeGraph
from stemd.daemon.engine._rt import ffi, lib
from stemd.daemon.engine.link import FADE_S, MAX_PERIOD, RESERVE_S, Dry, Link
from stemd.daemon.engine.realtime import Event, RealtimeSide
from stemd.daemon.engine.scheduling import may_have_priority
from stemd.daemon.errors import StemdError
from waiting import PATIENCE_S, until, wait_until

RATE = 8_000
FADE, RESERVE = round(FADE_S * RATE), round(RESERVE_S * RATE)
KEPT = 16_384 - 256  # of the input ring: a second and the longest period
assert RATE + MAX_PERIOD <= 16_384
DELAY = 100


class Rig:
    """A client without a server, and a link of four outputs that plays from the first cycle."""

    def __init__(self, prefill: int = 0, delay: int = DELAY, rate: int = RATE) -> None:
        self.rt = RealtimeSide(2, 4, rate)
        self.graph = FakeGraph(rate)
        self.graph.bind(self.rt.callbacks, ["i0", "i1"], ["o0", "o1", "o2", "o3"])
        self.link = Link(2, 4, prefill, delay, rate)
        assert self.rt.attach(self.link)

    def cycle(self, block: np.ndarray) -> np.ndarray:
        return self.graph.cycle(block)

    def settle(self) -> None:
        """Let the link take over; a fade's worth of silence goes in and out."""
        self.link.write(np.zeros((4, FADE + 1 + RESERVE), np.float32))
        self.cycle(np.zeros((2, FADE + 1), np.float32))


def ramp(start: int, frames: int, channels: int = 2) -> np.ndarray:
    """Samples that tell their channel and their place."""
    places = 1 + np.arange(start, start + frames)
    return (places + 1e5 * np.arange(channels)[:, None]).astype("f4")


def fetch(link: Link, at_most: int) -> np.ndarray:
    out = np.full((link.inputs, at_most), np.nan, np.float32)
    return out[:, : link.read(out)]


def read_all(link: Link) -> np.ndarray:
    parts = [np.zeros((link.inputs, 0), np.float32)]
    while (part := fetch(link, 100_000)).size:
        parts.append(part)
    return np.concatenate(parts, axis=1)


class TestInput:
    @pytest.mark.parametrize("period", [1, 16, 509, 4096, 8192, 16_384])
    def test_it_is_fetched_whole_and_in_order(self, period):
        rig = Rig()
        for start in range(0, 5 * period, period):
            rig.cycle(ramp(start, period))
            gone = max(period - KEPT, 0)
            got = read_all(rig.link)
            assert not got[:, :gone].any()
            np.testing.assert_array_equal(got[:, gone:], ramp(start, period)[:, gone:])
        assert rig.link.counters().lost_frames == 5 * gone

    def test_what_was_overwritten_is_silence_counted_and_the_rest_is_in_its_place(self):
        rig = Rig()
        frames = 100 * 256
        for start in range(0, frames, 256):
            rig.cycle(ramp(start, 256))
        got = read_all(rig.link)
        lost = frames - KEPT
        assert rig.link.counters().lost_frames == lost
        assert got.shape == (2, frames)
        assert not got[:, :lost].any()
        np.testing.assert_array_equal(got[:, lost:], ramp(0, frames)[:, lost:])

    @pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf, 3e6, -1e30])
    def test_what_is_no_number_or_absurd_is_silence_and_counted(self, bad):
        rig = Rig()
        block = ramp(0, 64)
        block[0, 5] = block[1, 63] = bad
        rig.cycle(block)
        block[0, 5] = block[1, 63] = 0
        np.testing.assert_array_equal(read_all(rig.link), block)
        assert rig.rt.counters().bad_samples == 2

    def test_denormals_are_silence_and_the_smallest_normal_number_is_not(self):
        rig = Rig()
        tiny = np.finfo(np.float32).tiny
        rig.cycle(np.array([[1e-40, -1e-45, 0], [tiny, -tiny, 1]], "f4"))
        np.testing.assert_array_equal(read_all(rig.link), [[0, 0, 0], [tiny, -tiny, 1]])
        assert rig.rt.counters().bad_samples == 0

    @pytest.mark.parametrize("period", [1, 256, 257, 8192])
    def test_a_ports_buffer_is_asked_for_once_a_cycle(self, period):
        """JACK2 mixes what is connected to an input anew each time."""
        rig = Rig()
        rig.graph.add_midi("midi_in")
        rig.graph.add_midi_out("midi_out")
        rig.cycle(ramp(0, period))
        assert list(rig.graph.asked.values()) == [1] * (2 + 4 + 2)


class TestOutput:
    def test_it_begins_with_the_prefill_of_silence(self):
        rig = Rig(prefill=200)
        rig.link.write(ramp(0, 56 + RESERVE, 4))
        out = rig.cycle(np.zeros((2, 256), np.float32))
        assert not out[:, :200].any()
        np.testing.assert_array_equal(out[:, 200:], ramp(0, 56, 4))
        assert rig.link.counters().late_frames == 0

    def test_what_comes_late_is_never_played(self):
        rig = Rig()
        rig.settle()
        rig.cycle(np.zeros((2, 64), np.float32))  # of which the reserve is there
        rig.link.write(ramp(0, 44 + 1000, 4))  # 44 of these are too late
        frames = 50 * FADE  # until the engine is trusted again
        rig.link.write(ramp(1044, frames, 4))
        out = rig.cycle(np.zeros((2, frames), np.float32))
        np.testing.assert_array_equal(out[:, -1], ramp(44 + frames - 1, 1, 4)[:, 0])
        assert rig.link.counters().late_frames == 64 - RESERVE
        assert rig.link.counters().late_periods == 1

    @pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf, 3e6, -1e30])
    @pytest.mark.parametrize("dry", [False, True])
    def test_what_is_no_number_or_absurd_is_silence_and_counted(self, bad, dry):
        """All else is as it would be; the dry signal does not suffer from what is not heard."""

        def play(sample):
            rig = Rig()
            rig.link.set_dry(Dry.BYPASS, dry)
            rig.settle()
            out = []
            for n in range(40):
                block = np.full((4, 64), 0.25, "f4")
                if n == 30:
                    block[0, 5] = block[3, 63] = sample
                rig.link.write(block)
                out.append(rig.cycle(np.full((2, 64), 0.5, "f4")))
                if n == 29:
                    rig.rt.peaks()
            return np.concatenate(out, axis=1), rig.rt.counters().bad_outputs, rig.rt.peaks()[1]

        out, counted, peaks = play(bad)
        expected, none, _ = play(0)
        np.testing.assert_array_equal(out, expected)
        assert (counted, none) == (2, 0)
        heard = [0, 0, 0.5, 0.5] if dry else [0.25] * 4
        np.testing.assert_allclose(out[:, -1], heard)
        assert peaks == pytest.approx(heard), "meters show what is heard"

    @settings(deadline=None, max_examples=100)
    @given(
        prefill=st.integers(0, 3000),
        steps=st.lists(
            st.one_of(
                st.tuples(st.just("cycle"), st.integers(1, 2000)),
                st.tuples(st.just("work"), st.integers(1, 3000)),
            ),
            max_size=40,
        ),
    )
    def test_stems_that_sum_to_the_input_always_do(self, prefill, steps):
        """Whatever the engine is late with, the dry signal makes up for."""
        rig = Rig(prefill, delay=prefill)
        heard = read = 0
        for step, n in steps:
            if step == "cycle":
                out = rig.cycle(ramp(heard, n))
                total = out.reshape(2, 2, -1).sum(axis=0)
                places = np.arange(heard, heard + n)
                expected = np.where(places < prefill, 0, ramp(heard - prefill, n))
                fading_in = places < FADE
                np.testing.assert_allclose(
                    total[:, ~fading_in], expected[:, ~fading_in], rtol=1e-5, atol=1e-3
                )
                heard += n
            else:
                got = fetch(rig.link, n)
                expected = ramp(read, got.shape[1])
                np.testing.assert_array_equal(got, expected)
                read += got.shape[1]
                rig.link.write(np.concatenate([0.25 * got, 0.75 * got]))


class TestDry:
    """Fades between the stems and the delayed input. The stems are a sine on every output."""

    HZ, RATE = 440.0, 44_100

    def play(self, cycles: int, period: int, engine, before=lambda n, rig: None):
        """Return all outputs; ``engine(n)`` says whether it works in cycle n."""
        prefill = period + 441  # as little as the engine is ever given
        rig = Rig(prefill, delay=prefill, rate=self.RATE)
        x = np.sin(2 * np.pi * self.HZ * np.arange(cycles * period) / self.RATE).astype("f4")
        out = []
        for n in range(cycles):
            before(n, rig)
            out.append(rig.cycle(np.tile(x[n * period : (n + 1) * period], (2, 1))))
            if engine(n):
                got = read_all(rig.link)
                rig.link.write(np.concatenate([0.4 * got, 0.6 * got]))
        return rig, np.concatenate(out, axis=1)

    def assert_no_click(self, out: np.ndarray, settled: int) -> None:
        bend = np.abs(np.diff(out[:, settled:], n=2))  # after the music has begun
        steady = (2 * np.pi * self.HZ / self.RATE) ** 2 * np.abs(out).max(axis=1)
        assert (bend.max(axis=1) < 1.5 * steady).all()

    @pytest.mark.parametrize("period", [64, 256, 1024])
    def test_bypass_leaves_the_input_on_the_last_stem_and_comes_back(self, period):
        cycles = 40_000 // period

        def before(n, rig):
            rig.link.set_dry(Dry.BYPASS, cycles // 3 <= n < 2 * cycles // 3)

        rig, out = self.play(cycles, period, lambda n: True, before)
        middle = slice(cycles // 2 * period, cycles // 2 * period + 1000)
        assert np.abs(out[:2, middle]).max() == 0
        assert np.abs(out[2:, middle]).max() == pytest.approx(1, abs=0.01)
        assert np.abs(out[0, -1000:]).max() == pytest.approx(0.4, abs=0.01)
        self.assert_no_click(out, 2000)
        assert rig.link.counters().late_frames == 0
        assert rig.link.counters().dry_frames > 10_000

    def test_it_is_heard_while_there_is_any_reason(self):
        rig = Rig()
        rig.settle()

        def is_dry():
            for _ in range(8):  # more than a fade
                rig.link.write(np.full((4, 64), 0.25, "f4"))
                out = rig.cycle(np.ones((2, 64), "f4"))
            return not out[0].any()

        assert not is_dry()
        for reason, on, expected in (
            (Dry.BYPASS, True, True),
            (Dry.OVERLOAD, True, True),
            (Dry.BYPASS, False, True),
            (Dry.BYPASS, False, True),
            (Dry.OVERLOAD, False, False),
        ):
            rig.link.set_dry(reason, on)
            assert is_dry() is expected

    @pytest.mark.parametrize("period", [64, 256, 1024])
    def test_engine_that_stops_is_faded_out_before_it_is_missed(self, period):
        cycles = 40_000 // period
        rig, out = self.play(cycles, period, lambda n: not cycles // 3 <= n < 2 * cycles // 3)
        middle = slice(cycles // 2 * period, cycles // 2 * period + 1000)
        assert np.abs(out[:2, middle]).max() == 0
        assert np.abs(out[2:, middle]).max() == pytest.approx(1, abs=0.01)
        assert np.abs(out[0, -1000:]).max() == pytest.approx(0.4, abs=0.01)
        self.assert_no_click(out, 2000)
        assert rig.link.counters().late_periods > 0

    def test_gain_is_ramped(self):
        def before(n, rig):
            if n == 50:
                rig.rt.set_gain(0, 0.0)
                rig.rt.set_gain(1, 0.5)
            if n == 100:
                rig.rt.set_gain(0, 1.0)

        _, out = self.play(150, 256, lambda n: True, before)
        assert not out[0, 80 * 256 : 100 * 256].any()
        assert np.abs(out[1, 80 * 256 :]).max() == pytest.approx(0.2, abs=0.01)
        assert np.abs(out[0, -1000:]).max() == pytest.approx(0.4, abs=0.01)
        self.assert_no_click(out, 2000)


class TestLinks:
    def test_one_takes_over_from_the_other_when_it_is_warm_and_without_a_click(self):
        rig = Rig(prefill=512, delay=512, rate=44_100)
        second = Link(2, 4, 1024, 1024, 44_100)
        x = np.sin(2 * np.pi * 440 * np.arange(40_000) / 44_100).astype("f4")
        out, swapped_at = [], None
        for n in range(150):
            if n == 50:
                assert rig.rt.attach(second)
                assert not rig.rt.attach(Link(2, 4, 0, 0, 44_100)), "one at a time"
            out.append(rig.cycle(np.tile(x[n * 256 : (n + 1) * 256], (2, 1))))
            for link, level in ((rig.link, 0.5), (second, 0.25)):
                got = read_all(link)
                link.write(level * np.concatenate([got, got]))
            if Event.SWAPPED in rig.rt.wait_events(0) and n > 50:
                swapped_at = swapped_at or n
        assert 54 <= swapped_at <= 58
        assert rig.rt.delay == 1024
        out = np.concatenate(out, axis=1)
        assert np.abs(out[:, 40 * 256 : 50 * 256]).max() == pytest.approx(0.5, abs=0.01)
        assert np.abs(out[:, 60 * 256 :]).max() == pytest.approx(0.25, abs=0.01)
        steady = (2 * np.pi * 440 / 44_100) ** 2 * 0.5
        assert np.abs(np.diff(out[:, 1024:], n=2)).max() < 1.5 * steady
        np.testing.assert_allclose(
            out[0, 70 * 256 :], 0.25 * x[70 * 256 - 1024 : 150 * 256 - 1024], atol=1e-6
        )

    @pytest.mark.parametrize("after", [0, 1, 2, 3, 4])
    def test_one_that_is_withdrawn_leaves_the_other_as_it_was_and_without_a_click(self, after):
        """After so many periods, in the last two of which it is heard, in part and whole."""
        rig = Rig(prefill=512, delay=512, rate=44_100)
        second = Link(2, 4, 512, 512, 44_100)
        x = np.sin(2 * np.pi * 440 * np.arange(60 * 256) / 44_100).astype("f4")
        out, events = [], Event(0)
        for n in range(60):
            if n == 20:
                rig.rt.wait_events(0)
                assert rig.rt.attach(second)
            if n == 20 + after:
                assert rig.rt.withdraw(second)
                assert not rig.rt.withdraw(second), "it is taken back already"
                assert not rig.rt.attach(Link(2, 4, 0, 0, 44_100)), "the last one is not gone yet"
            out.append(rig.cycle(np.tile(x[n * 256 : (n + 1) * 256], (2, 1))))
            for link, level in ((rig.link, 0.5), (second, 0.25)):
                got = read_all(link)
                link.write(level * np.concatenate([got, got]))
            events |= rig.rt.wait_events(0) if n > 20 else Event(0)
        assert events & (Event.WITHDRAWN | Event.SWAPPED) == Event.WITHDRAWN
        assert rig.rt.delay == 512
        out = np.concatenate(out, axis=1)
        steady = (2 * np.pi * 440 / 44_100) ** 2 * 0.5
        assert np.abs(np.diff(out[:, 1024:], n=2)).max() < 1.5 * steady
        is_heard = not np.array_equal(out[0, 1024:], 0.5 * x[512:-512])
        assert is_heard == (after >= 3)
        np.testing.assert_array_equal(out[0, 40 * 256 :], 0.5 * x[40 * 256 - 512 : -512])
        assert rig.rt.attach(Link(2, 4, 0, 0, 44_100)), "now another one may come"

    def test_one_that_is_held_warms_up_unheard_until_it_is_let(self):
        rig = Rig(prefill=512, delay=512, rate=44_100)
        second = Link(2, 4, 512, 512, 44_100)
        x = np.sin(2 * np.pi * 440 * np.arange(40 * 256) / 44_100).astype("f4")
        out = []
        for n in range(40):
            if n == 10:
                rig.rt.wait_events(0)
                second.hold(True)
                assert rig.rt.attach(second)
            if n == 30:
                second.hold(False)
            out.append(rig.cycle(np.tile(x[n * 256 : (n + 1) * 256], (2, 1))))
            for link, level in ((rig.link, 0.5), (second, 0.25)):
                got = read_all(link)
                link.write(level * np.concatenate([got, got]))
            if 10 <= n < 30:
                assert not rig.rt.wait_events(0) & Event.SWAPPED
        assert Event.SWAPPED in rig.rt.wait_events(0)
        out = np.concatenate(out, axis=1)[0]
        np.testing.assert_array_equal(out[1024 : 30 * 256], 0.5 * x[512 : 30 * 256 - 512])
        np.testing.assert_array_equal(out[33 * 256 :], 0.25 * x[33 * 256 - 512 : -512])

    def test_one_that_plays_or_never_came_cannot_be_withdrawn(self):
        rig = Rig()
        rig.settle()
        rig.cycle(ramp(0, 64))
        assert Event.SWAPPED in rig.rt.wait_events(0)
        assert not rig.rt.withdraw(rig.link)
        assert not rig.rt.withdraw(Link(2, 4, 0, 0, RATE))
        rig.cycle(ramp(0, 64))
        assert not rig.rt.wait_events(0)

    def test_the_first_one_can_be_withdrawn_and_leaves_silence(self):
        rig = Rig()
        assert rig.rt.delay == DELAY
        assert rig.rt.withdraw(rig.link)
        for n in range(2):
            assert not rig.cycle(ramp(64 * n, 64)).any()
        assert Event.WITHDRAWN in rig.rt.wait_events(0)
        assert rig.rt.delay == 0

    def test_one_that_plays_or_was_withdrawn_cannot_be_attached_again(self):
        rig = Rig()
        rig.settle()
        rig.cycle(ramp(0, 64))
        assert not rig.rt.attach(rig.link)
        second = Link(2, 4, 0, 0, RATE)
        assert rig.rt.attach(second)
        assert rig.rt.withdraw(second)
        rig.cycle(ramp(0, 64))
        rig.cycle(ramp(0, 64))
        assert not rig.rt.attach(second)

    def test_without_any_link_there_is_silence(self):
        rt = RealtimeSide(2, 4, RATE)
        graph = FakeGraph(RATE)
        graph.bind(rt.callbacks, ["a", "b"], ["c", "d", "e", "f"])
        assert not graph.cycle(ramp(0, 64)).any()
        assert rt.delay == 0


class TestEvents:
    def test_what_the_servers_threads_say_is_told_once(self):
        rig = Rig()
        rig.cycle(ramp(0, 64))
        assert Event.PERIOD in rig.rt.wait_events(0)
        rig.graph.call("info_shutdown", "void(*)(int, char *, void *)", 1, ffi.NULL)
        rig.graph.call("sample_rate", "int(*)(uint32_t, void *)", 48_000)
        rig.graph.call("port_registration", "void(*)(uint32_t, int, void *)", 7, 1)
        assert rig.rt.wait_events(0) == Event.SHUTDOWN | Event.RATE | Event.PORTS
        assert not rig.rt.wait_events(0)

    def test_what_is_said_of_ports_is_told_in_order_or_all_of_it_lost(self):
        rig = Rig()
        registered, linked = (
            "void(*)(uint32_t, int, void *)",
            "void(*)(uint32_t, uint32_t, int, void *)",
        )
        before = monotonic()
        for connected in (1, 0):
            rig.graph.call("port_connect", linked, 7, 8, connected)
        for port in range(3000):
            rig.graph.call("port_registration", registered, port, port % 2)
            if port == 1:
                said = rig.rt.callbacks.read_ports()
                assert [each[1:] for each in said] == [
                    *(((7, 8), True), ((7, 8), False), ((0,), False), ((1,), True))
                ]
                assert [before, *sorted(at for at, *_ in said)] == [
                    before,
                    *(at for at, *_ in said),
                ]
                assert before <= said[0][0] <= monotonic()
        assert Event.PORTS in rig.rt.wait_events(0)
        assert rig.rt.callbacks.read_ports() is None
        assert rig.rt.callbacks.read_ports() == []
        rig.graph.call("port_registration", registered, 9, 1)
        assert [each[1:] for each in rig.rt.callbacks.read_ports()] == [((9,), True)]

    def test_it_wakes_the_thread_that_waits(self):
        rig = Rig()
        woken = threading.Event()
        waiter = threading.Thread(target=lambda: (rig.rt.wait_events(2 * PATIENCE_S), woken.set()))
        waiter.start()
        rig.rt.wake()
        assert woken.wait(PATIENCE_S)
        waiter.join()


class TestCounters:
    def test_cycles_frames_and_the_last_period(self):
        rig = Rig()
        rig.cycle(ramp(0, 64))
        rig.cycle(ramp(64, 100))
        counters = rig.rt.counters()
        assert (counters.periods, counters.frames, counters.period) == (2, 164, 100)
        assert counters.worst_ns > 0
        assert counters.priority == 0

    @pytest.mark.skipif(not may_have_priority(1), reason="real-time priority is not permitted")
    def test_a_priority_that_comes_late_is_noted(self):
        rig, pause = Rig(), threading.Event()
        rig.cycle(ramp(0, 64))
        assert rig.rt.counters().priority == 0
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(7))
            for _ in until(lambda: rig.rt.counters().priority == 7):
                pause.wait(0.02)
                rig.cycle(ramp(0, 64))
        finally:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        assert rig.rt.counters().periods < 20, "however few cycles a second has"

    @pytest.mark.parametrize(
        ("seen", "xruns"),
        [
            ("", 0),
            ("r", 1),
            ("j", 1),
            ("r.j", 1),
            ("j..r", 1),
            ("rj", 1),
            ("rr", 2),
            ("jjj", 3),
            ("jr.jr.rj", 3),
            ("jj.rr", 2),
            ("rrr.j", 3),
            ("jjj.r", 3),
            ("r.jj", 2),
            ("j.rr", 2),
        ],
    )
    def test_a_drop_out_is_counted_once_whether_reported_or_seen_as_a_jump_or_both(
        self, seen, xruns
    ):
        """Letters are what is seen: reports and jumps; each jump and each dot is a cycle."""
        rig = Rig()
        rig.cycle(ramp(0, 64))
        for what in seen + ".":
            if what == "r":
                rig.graph.call("xrun", "int(*)(void *)")
                continue
            if what == "j":
                rig.graph.lose(640)
            rig.cycle(ramp(0, 64))
        counters = rig.rt.counters()
        assert counters.xruns == xruns
        assert counters.reported == seen.count("r")
        assert counters.jumps == seen.count("j")

    def test_a_report_and_a_jump_far_apart_are_two_drop_outs(self):
        rig = Rig()
        rig.cycle(ramp(0, 64))
        rig.graph.call("xrun", "int(*)(void *)")
        rig.cycle(ramp(0, 64))
        rig.graph.lose(round(0.6 * RATE))
        rig.cycle(ramp(0, 64))
        assert rig.rt.counters().xruns == 2

    @pytest.mark.parametrize("jump", [640, RATE, 2**31 - 1, -1, -640, -RATE])
    @pytest.mark.parametrize("passed_s", [0, 0.5])
    def test_a_clock_that_starts_anew_with_another_driver_is_no_drop_out(self, jump, passed_s):
        rig = Rig()
        rig.cycle(ramp(0, 64))
        rig.graph.frame_time += jump
        rig.graph.time_us += 1e6 * passed_s
        rig.cycle(ramp(0, 64))
        counters = rig.rt.counters()
        assert (counters.xruns, counters.jumps) == (0, 0)

    def test_lost_cycles_are_measured_at_the_rate_that_the_server_has(self):
        rig = Rig()
        rig.cycle(ramp(0, 64))
        rig.graph.call("sample_rate", "int(*)(uint32_t, void *)", 6 * RATE)
        rig.graph.samplerate = 6 * RATE
        rig.cycle(ramp(0, 64))
        rig.graph.lose(6 * RATE)
        rig.cycle(ramp(0, 64))
        assert rig.rt.counters().jumps == 1

    def test_frame_time_may_wrap_around(self):
        rig = Rig()
        rig.graph.frame_time = 2**32 - 64
        for n in range(3):
            rig.cycle(ramp(64 * n, 64))
        assert rig.rt.counters().xruns == 0

    def test_peaks_are_those_since_the_last_look(self):
        rig = Rig()
        rig.settle()
        rig.rt.peaks()
        rig.link.write(np.tile(np.array([[0.1], [-0.7], [0.3], [0.0]], "f4"), 64 + RESERVE))
        rig.cycle(np.array([[0.5] * 64, [-0.25] * 64], "f4"))
        inputs, outputs = rig.rt.peaks()
        assert inputs == [0.5, 0.25]
        assert outputs == pytest.approx([0.1, 0.7, 0.3, 0.0])
        assert rig.rt.peaks() == ([0, 0], [0] * 4)


def test_an_output_without_a_port_costs_nothing_and_has_its_gain_when_it_gets_one():
    rig = Rig()
    rig.settle()
    rig.rt.callbacks.set_out_port(3, 0)
    rig.rt.peaks()
    rig.rt.set_gain(3, 0.5)
    rig.link.write(np.ones((4, 1000 + RESERVE), np.float32))
    rig.cycle(ramp(0, RESERVE + 1))
    assert rig.rt.peaks()[1] == [1, 1, 1, 0]
    rig.graph.add_outputs({"o3": 3})
    assert (rig.cycle(ramp(0, 100))[3] == 0.5).all()
    assert rig.rt.peaks()[1] == [1, 1, 1, 0.5]


def test_link_with_fewer_outputs_than_inputs_has_no_dry_signal():
    rt, graph = RealtimeSide(4, 2, RATE), FakeGraph(RATE)
    graph.bind(rt.callbacks, ["i0", "i1", "i2", "i3"], ["o0", "o1"])
    link = Link(4, 2, 0, 0, RATE)
    rt.attach(link)
    for n in range(8):  # of which the engine owes all
        assert not graph.cycle(ramp(64 * n, 64, channels=4)).any()
    assert link.counters().late_frames


def test_port_without_a_buffer_is_heard_as_silence_or_not_played():
    """PipeWire has none for a while when it was suspended."""
    rig = Rig()
    rig.settle()
    read_all(rig.link)
    rig.link.write(ramp(0, 64 + RESERVE, channels=4))
    rig.graph.without_buffer = {"i1", "o2"}
    played = rig.cycle(ramp(0, 64))
    np.testing.assert_array_equal(read_all(rig.link), ramp(0, 64) * [[1], [0]])
    assert np.isnan(played[2]).all()
    assert played[[0, 1, 3]].any(axis=1).all()


MIX = {"m0": 4, "m1": 5}
"""The outputs that follow a rig's four."""


class TestMix:
    """The input, as late as what plays, whatever the engine does."""

    @pytest.mark.parametrize("period", [1, 17, 256, 257, 8192])
    def test_it_is_the_input_bit_for_bit_while_the_stems_are_late_or_bypassed(self, period):
        rig = Rig()
        rig.graph.add_outputs(MIX)
        cycles = max(3, 1000 // period)
        x = np.random.default_rng(4).normal(size=(2, cycles * period)).astype("f4")
        out = []
        for n in range(cycles):
            if n == cycles // 3:  # it was late before
                rig.link.write(np.ones((4, min(period + RESERVE, 8192)), np.float32))
            rig.link.set_dry(Dry.BYPASS, n >= cycles // 2)
            rig.rt.set_gain(4, 0.5)
            out.append(rig.cycle(x[:, n * period : (n + 1) * period]))
        mixed = np.concatenate(out, axis=1)[4:]
        expected = np.zeros_like(x)
        expected[:, DELAY:] = x[:, :-DELAY]
        np.testing.assert_array_equal(mixed, expected)

    def test_when_another_link_takes_over_it_fades_to_that_ones_delay(self):
        rig = Rig(delay=512, rate=44_100)
        rig.graph.add_outputs(MIX)
        second = Link(2, 4, 0, 1024, 44_100)
        x = np.sin(2 * np.pi * 440 * np.arange(100 * 256) / 44_100).astype("f4")
        out = []
        for n in range(100):
            if n == 50:
                rig.rt.wait_events(0)
                assert rig.rt.attach(second)
            out.append(rig.cycle(np.tile(x[n * 256 : (n + 1) * 256], (2, 1))))
        assert Event.SWAPPED in rig.rt.wait_events(0)
        mixed = np.concatenate(out, axis=1)[4]
        np.testing.assert_array_equal(mixed[512 : 50 * 256], x[: 50 * 256 - 512])
        np.testing.assert_array_equal(mixed[70 * 256 :], x[70 * 256 - 1024 : 100 * 256 - 1024])
        assert np.abs(np.diff(mixed[1024:], n=2)).max() < 1.5 * (2 * np.pi * 440 / 44_100) ** 2

    def test_its_ports_are_as_late_as_the_stems(self):
        rig = Rig(delay=1000)
        rig.graph.add_outputs(MIX)
        rig.graph.latencies = {(1, n, PLAYBACK): (n, n) for n in range(6)}
        rig.graph.declare_latency()
        assert {rig.graph.latencies[1, n, CAPTURE] for n in range(6)} == {(1000, 1000)}
        assert rig.graph.latencies[0, 0, PLAYBACK] == (1000, 1005)

    def test_it_is_silent_where_nothing_plays(self):
        rt, graph = RealtimeSide(2, 4, RATE), FakeGraph(RATE)
        graph.bind(rt.callbacks, ["i0", "i1"], [])
        graph.add_outputs(MIX)
        assert not graph.cycle(ramp(0, 300)).any()


class TestLatency:
    def test_outputs_are_later_than_the_inputs_and_inputs_earlier_than_the_outputs(self):
        rig = Rig(delay=1000)
        rig.graph.latencies = {(0, 0, CAPTURE): (10, 20), (0, 1, CAPTURE): (5, 15)}
        rig.graph.latencies |= {(1, n, PLAYBACK): (n, 30 - n) for n in range(4)}
        rig.graph.declare_latency()
        for n in range(4):
            assert rig.graph.latencies[1, n, CAPTURE] == (1005, 1020)
        for n in range(2):
            assert rig.graph.latencies[0, n, PLAYBACK] == (1000, 1030)

    def test_a_server_that_may_deadlock_is_answered_later(self, monkeypatch):
        monkeypatch.setattr(FakeGraph, "defers_latency", True)
        rig = Rig(delay=1000)
        rig.graph.declare_latency()
        assert not rig.graph.latencies
        assert Event.LATENCY in rig.rt.wait_events(0)
        rig.rt.answer_latency()
        assert rig.graph.latencies[1, 0, CAPTURE] == (1000, 1000)
        assert rig.graph.latencies[0, 0, PLAYBACK] == (1000, 1000)

    def test_without_outputs_the_inputs_have_our_own_delay(self):
        rt, graph = RealtimeSide(2, 0, RATE), FakeGraph(RATE)
        graph.bind(rt.callbacks, ["a", "b"], [])
        assert rt.attach(Link(2, 0, 0, 1000, RATE))
        graph.declare_latency()
        assert graph.latencies[0, 0, PLAYBACK] == (1000, 1000)


class TestCallers:
    """What a caller does wrong never reaches the memory of the server's thread."""

    def test_what_the_output_ring_has_no_room_for_is_refused(self):
        rig = Rig()
        capacity = 16_384
        rig.link.write(ramp(0, capacity - 10, 4))
        with pytest.raises(StemdError, match="20 frames are more than the output ring has room"):
            rig.link.write(ramp(capacity - 10, 20, 4))
        assert rig.link.counters().delivered == capacity
        out = rig.cycle(np.zeros((2, 8192), np.float32))
        np.testing.assert_array_equal(out[:, FADE:], ramp(0, 8192, 4)[:, FADE:])

    @pytest.mark.parametrize("frames", [16_385, 20_000, 100_000])
    def test_what_is_longer_than_the_ring_never_overwrites_it(self, frames):
        rig = Rig()
        with pytest.raises(StemdError):
            rig.link.write(ramp(0, frames, 4))
        assert rig.link.counters().delivered == 16_384
        rig.cycle(np.zeros((2, 4096), np.float32))
        out = rig.cycle(np.zeros((2, 4096), np.float32))
        np.testing.assert_array_equal(out, ramp(4096, 4096, 4))

    def test_an_engine_that_was_late_may_write_more_than_the_ring_holds(self):
        """What comes too late for the ports takes no room."""
        rig = Rig()
        block = np.zeros((2, 8192), np.float32)
        for start in range(0, 5 * 8192, 8192):
            assert rig.link.counters().frames == start
            rig.cycle(block)
        rig.link.write(ramp(0, 5 * 8192 + 10_000, 4))
        out = rig.cycle(block)
        np.testing.assert_array_equal(out[:, -1], ramp(6 * 8192 - 1, 1, 4)[:, 0])

    @pytest.mark.parametrize(
        "array",
        [np.zeros((3, 64), "f4"), np.zeros((5, 64), "f4"), np.zeros((4, 64)), np.zeros(64, "f4")],
        ids=lambda array: f"{array.dtype}{array.shape}",
    )
    def test_an_array_of_another_kind_is_refused(self, array):
        rig = Rig()
        with pytest.raises(ValueError, match="is not float32"):
            rig.link.write(array)
        with pytest.raises(ValueError, match="is not float32"):
            rig.link.read(array[:2] if len(array) == 4 else array)

    @pytest.mark.parametrize(
        ("inputs", "outputs", "prefill", "delay"),
        [(17, 2, 0, 0), (2, 17, 0, 0), (2, 2, 2**40, 0), (2, 2, 0, 2**31)],
    )
    def test_rings_that_cannot_be_are_refused(self, inputs, outputs, prefill, delay):
        with pytest.raises((StemdError, OverflowError)):
            Link(inputs, outputs, prefill, delay, RATE)

    @pytest.mark.parametrize("slots", [[0], [0, 1, 2], [0, 16], [0, 255]])
    def test_slots_that_cannot_be_are_refused(self, slots):
        with pytest.raises((ValueError, StemdError)):
            Link(2, 2, 0, 0, RATE, slots)

    @pytest.mark.parametrize(
        "sizes", [{"in_capacity": 0}, {"out_capacity": 1000}, {"in_capacity": 256}]
    )
    def test_capacities_that_are_no_powers_of_two_are_refused(self, sizes):
        sound = {"in_capacity": 1024, "out_capacity": 1024}
        made = lambda each: lib.rt_link_new(1, 1, b"\0", ffi.new("rt_link_sizes_t *", each))  # noqa: E731
        link = made(sound)
        assert link
        lib.rt_link_free(link)
        assert not made({**sound, **sizes})

    @pytest.mark.parametrize(("inputs", "slots"), [(3, [0, 1]), (2, [0, 4])])
    def test_a_link_with_channels_that_the_client_has_not_is_refused(self, inputs, slots):
        rt, graph = RealtimeSide(2, 4, RATE), FakeGraph(RATE)
        graph.bind(rt.callbacks, ["a", "b"], ["c", "d", "e", "f"])
        link = Link(inputs, len(slots), 0, 0, RATE, slots)
        with pytest.raises(ValueError, match="for a client of 2 inputs and 4 outputs"):
            rt.attach(link)
        assert not lib.rt_attach(rt._rt, link.pointer)

    @pytest.mark.parametrize("gain", [np.nan, np.inf, -np.inf])
    def test_a_gain_that_is_none_changes_nothing(self, gain):
        rig = Rig()
        rig.settle()
        rig.rt.set_gain(0, gain)
        rig.link.write(np.ones((4, 64), "f4"))
        assert (rig.cycle(np.zeros((2, 64), np.float32))[:, RESERVE:] == 1).all()
        assert rig.rt.counters().bad_outputs == 0

    @pytest.mark.parametrize("number", [6, 16, 2**32 - 1])
    def test_an_output_that_there_is_not_is_left_alone(self, number):
        rig = Rig()
        rig.rt.set_gain(number, 0.5)
        rig.rt.callbacks.set_out_port(number, 1)
        assert lib.rt_in_peak(rig.rt._rt, number) == lib.rt_out_peak(rig.rt._rt, number) == 0
        rig.cycle(ramp(0, 64))

    def test_what_the_server_may_call_stays_until_it_calls_no_more(self):
        graph = FakeGraph(RATE)
        rt, link = RealtimeSide(2, 4, RATE), Link(2, 4, 0, 0, RATE)
        graph.bind(rt.callbacks, ["a", "b"], ["c", "d", "e", "f"])
        assert rt.attach(link)
        dead = [weakref.ref(rt.callbacks), weakref.ref(link)]
        graph._bound = graph._unbind = None  # else the fake has it
        del rt, link
        gc.collect()
        assert all(each() for each in dead)
        dead[0]().detach()
        gc.collect()
        assert not any(each() for each in dead)

    @pytest.mark.parametrize("rig", [{"prefill": 40_000, "delay": 40_000}])
    @pytest.mark.parametrize("period", [8192, 16_384, 40_000])
    def test_a_bounce_of_long_periods_is_whole(self, rig, period):
        rig = Rig(**rig)
        rig.graph.freewheel(True)
        ended = threading.Event()

        def engine():
            while not ended.is_set():
                rig.link.wait(0.01)
                while (got := fetch(rig.link, 4096)).size:
                    rig.link.write(np.concatenate([got, got]))

        thread = threading.Thread(target=engine)
        thread.start()
        blocks = [rig.cycle(ramp(n * period, period)) for n in range(3)]
        ended.set()
        thread.join()
        out = np.concatenate([block.copy() for block in blocks], axis=1)
        heard = max(3 * period - 40_000, 0)
        assert rig.link.counters().late_frames == 0
        np.testing.assert_array_equal(out[:2, 40_000:], ramp(0, heard))


class TestFreewheel:
    def test_a_cycle_waits_for_the_engine(self):
        rig = Rig()
        rig.settle()
        rig.graph.freewheel(True)
        assert rig.rt.freewheeling
        block = ramp(0, 64 + RESERVE, 4)

        def write():
            rig.link.wait(PATIENCE_S)
            rig.link.write(block)

        fetch(rig.link, 1000)
        writer = threading.Thread(target=write)
        writer.start()
        out = rig.cycle(ramp(0, 64))
        writer.join()
        np.testing.assert_array_equal(out[:, RESERVE:], block[:, : 64 - RESERVE])
        assert rig.link.counters().late_frames == 0

    def test_the_end_of_a_cycle_can_be_waited_for(self):
        rig = Rig()
        rig.settle()
        assert rig.rt.callbacks.let_cycle_end(), "there is none"
        periods = rig.rt.counters().periods
        rig.graph.freewheel(True)
        cycle = threading.Thread(target=rig.cycle, args=(ramp(0, 64),))
        cycle.start()
        wait_until(lambda: rig.rt.counters().periods > periods)
        began = monotonic()
        threading.Timer(0.1, rig.link.release).start()
        wait_until(rig.rt.callbacks.let_cycle_end)
        assert monotonic() - began >= 0.1
        cycle.join()

    def test_a_cycle_that_goes_on_is_told_from_one_that_has_ended(self):
        rig = Rig()
        rig.settle()
        periods = rig.rt.counters().periods
        rig.graph.freewheel(True)
        cycle = threading.Thread(target=rig.cycle, args=(ramp(0, 64),))
        cycle.start()
        wait_until(lambda: rig.rt.counters().periods > periods)
        assert not rig.rt.callbacks.let_cycle_end()
        rig.link.release()
        assert rig.rt.callbacks.let_cycle_end()
        cycle.join()

    def test_a_cycle_waits_for_as_long_as_the_engine_takes(self):
        """A board may need longer than any time that seems enough; a stopped process, too."""
        rig = Rig()
        rig.settle()
        rig.graph.freewheel(True)
        cycle = threading.Thread(target=rig.cycle, args=(ramp(0, 64),))
        cycle.start()

        def waits_without_limit() -> bool:
            """Of futex(2) the fourth argument is the time limit; see proc_pid_syscall(5)."""
            call = Path(f"/proc/self/task/{cycle.native_id}/syscall").read_text().split()
            return len(call) > 4 and call[4] == "0x0"

        wait_until(waits_without_limit)
        rig.link.release()
        cycle.join()

    def test_a_released_cycle_does_not_wait(self):
        rig = Rig()
        rig.graph.freewheel(True)
        rig.link.release()
        rig.cycle(ramp(0, 64))
        assert rig.link.counters().late_frames == 64
        rig.graph.freewheel(False)
        assert not rig.rt.freewheeling


def test_wait_returns_at_once_when_a_cycle_has_passed():
    rig = Rig()
    rig.cycle(ramp(0, 16))
    done = threading.Event()
    threading.Thread(
        target=lambda: (rig.link.wait(2 * PATIENCE_S), done.set()), daemon=True
    ).start()
    assert done.wait(PATIENCE_S)


def test_wait_waits_again_once_all_that_was_heard_is_read():
    """However many cycles passed while the engine was busy."""
    rig = Rig()
    for n in range(1000):
        rig.cycle(ramp(16 * n, 16))
    rig.link.wait(PATIENCE_S)
    read_all(rig.link)
    began = monotonic()
    rig.link.wait(0.05)
    assert monotonic() - began >= 0.04


@pytest.fixture
def midi():
    """A graph with a MIDI port, and its real-time side."""
    rt, graph = RealtimeSide(1, 1, RATE), FakeGraph(RATE)
    graph.bind(rt.callbacks, ["i"], ["o"])
    graph.add_midi("midi_in")

    def play(*messages: bytes) -> None:
        graph.midi = list(messages)
        graph.cycle(np.zeros((1, 64), np.float32))

    return rt, play


def test_controllers_changes_arrive_in_order_and_are_told(midi):
    rt, play = midi
    play()
    assert Event.MIDI not in rt.wait_events(0)
    play(b"\xb0\x07\x40", b"\xbf\x01\x02")
    play(b"\xb3\x05\x06")
    assert Event.MIDI in rt.wait_events(0)
    assert list(rt.read_midi()) == [b"\xb0\x07\x40", b"\xbf\x01\x02", b"\xb3\x05\x06"]
    assert not list(rt.read_midi())


def test_other_midi_messages_are_left_out_and_wake_no_thread(midi):
    rt, play = midi
    play(b"", b"\xf0" + bytes(100) + b"\xf7", b"\xf8", b"\xc0\x01", b"\xa0\x07\x40", b"\xb0\x07")
    assert Event.MIDI not in rt.wait_events(0)
    assert not list(rt.read_midi())


def test_notes_arrive_and_end_without_velocity(midi):
    rt, play = midi
    play(b"\x9f\x24\x40", b"\x8f\x24\x40", b"\x90\x24\x00")
    assert list(rt.read_midi()) == [b"\x9f\x24\x40", b"\x9f\x24\x00", b"\x90\x24\x00"]
    play(*[b"\xb0\x24\x01"] * 256, b"\x93\x24\x05", b"\xb3\x24\x06", b"\x83\x24\x07")
    assert list(rt.read_midi())[256:] == [b"\xb3\x24\x06", b"\x93\x24\x00"]


def test_messages_are_sent_in_order_as_many_at_a_time_as_the_port_takes():
    rt, graph = RealtimeSide(1, 1, RATE), FakeGraph(RATE)
    graph.bind(rt.callbacks, ["i"], ["o"])
    graph.add_midi_out("midi_out")
    messages = [bytes([0x90, n // 128, n % 128]) for n in range(300)]
    taken = [message for message in messages if rt.send_midi(message)]
    assert taken == messages[:256]
    sent = []
    while not sent or graph.midi_out:
        graph.cycle(np.zeros((1, 64), np.float32))
        assert len(graph.midi_out) <= graph.midi_room
        sent += graph.midi_out
    assert sent == taken
    assert rt.send_midi(messages[-1])


def test_of_a_flood_the_last_value_of_each_controller_arrives(midi):
    rt, play = midi
    sweep = [bytes([0xB0 + n % 3, n % 5, n % 128]) for n in range(5_000)]
    for begin in range(0, 5_000, 500):
        play(*sweep[begin : begin + 500])
    play(b"\xb0\x85\x01", b"\xb1\x05\xff")  # no data bytes
    read = list(rt.read_midi())
    assert read[:256] == sweep[:256]
    assert len(read) == 256 + 15
    assert {m[:2]: m[2] for m in read} == {m[:2]: m[2] for m in sweep}
    play(b"\xb0\x07\x40")
    assert list(rt.read_midi()) == [b"\xb0\x07\x40"]


def test_what_comes_while_a_flood_is_read_is_later_than_it(midi):
    rt, play = midi
    play(*[b"\xb0\x07\x01"] * 300)
    read = []
    for message in rt.read_midi():
        read.append(message)
        if len(read) in (10, 256, 257):
            play(bytes([0xB0, 7, 100 + len(read) % 7]), b"\xb0\x01\x05")
    assert {m[:2]: m[2] for m in read} == {b"\xb0\x07": 100 + 257 % 7, b"\xb0\x01": 5}
    assert not list(rt.read_midi())


def test_messages_wake_once_until_they_are_read(midi):
    rt, play = midi
    play()
    rt.wait_events(0)
    play(b"\xb0\x07\x01")
    assert rt.wait_events(0) == Event.MIDI
    for _ in range(300):
        play(b"\xb0\x07\x02")
    assert not rt.wait_events(0)
    assert len(list(rt.read_midi())) == 257
    play(b"\xb0\x07\x03")
    assert rt.wait_events(0) == Event.MIDI


def test_no_message_waits_unread_without_having_woken_the_reader(midi):
    rt, play = midi
    play()
    rt.wait_events(0)
    sent, got = 20_000, []

    def read() -> None:
        while not got or got[-1] != b"\xb0\x08\x00":
            if Event.MIDI in rt.wait_events(PATIENCE_S):
                got.extend(rt.read_midi())
            else:
                return

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(sent):
        play(bytes([0xB0, 7, n % 128]))
    play(b"\xb0\x08\x00")
    reader.join(2 * PATIENCE_S)
    assert got[-1] == b"\xb0\x08\x00"
    assert [m for m in got if m[1] == 7][-1][2] == (sent - 1) % 128


def test_what_wakes_several_times_is_told_at_once(midi):
    rt, play = midi
    play()
    rt.wait_events(0)
    for _ in range(5):
        rt.wake()
        play(b"\xb0\x07\x40")
    assert rt.wait_events(1) == Event.MIDI
    began = monotonic()
    rt.wait_events(0.05)
    assert monotonic() - began >= 0.04


def test_midi_messages_that_are_never_read_do_no_harm(midi):
    rt, play = midi
    sent = [bytes([0xB0, n % 128, n // 128]) for n in range(1000)]
    for n in range(0, 1000, 50):
        play(*sent[n : n + 50])
    assert list(rt.read_midi())[:256] == sent[:256]
    play(b"\xb0\x01\x02")
    assert list(rt.read_midi()) == [b"\xb0\x01\x02"]


@pytest.mark.parametrize(("period", "woken"), [(16, 15), (64, 3), (100, 2), (256, 1), (1000, 1)])
def test_the_engine_is_woken_when_the_next_period_would_be_more_than_the_quantum(period, woken):
    rt, graph = RealtimeSide(2, 2, RATE), FakeGraph(RATE)
    graph.bind(rt.callbacks, ["a", "b"], ["c", "d"])
    link = Link(2, 2, 4096, 4096, RATE, quantum=255)
    rt.attach(link)
    ended = threading.Event()
    waiter = threading.Thread(target=lambda: (link.wait(2 * PATIENCE_S), ended.set()))
    waiter.start()
    for _ in range(woken):
        assert not ended.wait(0.02)
        graph.cycle(np.zeros((2, period), np.float32))
    assert ended.wait(PATIENCE_S), "and no later"
    waiter.join()


@pytest.mark.parametrize("ramp_s", [0.01, 0.1])
def test_a_gain_changes_within_the_ramp(ramp_s):
    rt, graph = RealtimeSide(1, 1, RATE, ramp_s), FakeGraph(RATE)
    graph.bind(rt.callbacks, ["a"], ["b"])
    link = Link(1, 1, 4096, 4096, RATE)
    link.write(np.ones((1, 4096), np.float32))
    rt.attach(link)
    play = lambda n: graph.cycle(np.zeros((1, n), np.float32))[0]  # noqa: E731
    play(4096)  # the silence that the link begins with
    rt.set_gain(0, 0.0)
    heard = play(2048)
    assert np.flatnonzero(heard)[-1] == pytest.approx(ramp_s * RATE, abs=3)
