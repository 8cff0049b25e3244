"""The tape's contract: each frame of a cycle once, in its place, and what is lost is counted."""

import gc
import weakref

import numpy as np
import pytest

from fake_graph import FakeGraph
from stemd.daemon.engine import tape as tape_module
from stemd.daemon.engine.link import Link
from stemd.daemon.engine.realtime import RealtimeSide
from stemd.daemon.engine.tape import Tape

RATE = 8_000
CAPACITY = 65_536  # of the ring: 8 s
CYCLES = (1, 64, 509, 4096, 8192)


class Rig:
    """A client without a server, whose four outputs play what `play` is given."""

    def __init__(self) -> None:
        self.rt = RealtimeSide(2, 4, RATE, ramp_s=0.005)
        self.graph = FakeGraph(RATE)
        self.graph.bind(self.rt.callbacks, ["i0", "i1"], ["o0", "o1", "o2", "o3"])
        self.link = Link(2, 4, 1000, 1000, RATE)
        assert self.rt.attach(self.link)
        self.random = np.random.default_rng(7)
        self.cycle(1000)  # the fade to what plays

    def noise(self, channels: int, frames: int) -> np.ndarray:
        return self.random.uniform(-1, 1, (channels, frames)).astype("f4")

    def cycle(self, frames: int) -> np.ndarray:
        """Return input and outputs of a cycle, for which the engine is in time."""
        block, stems = self.noise(2, frames), self.noise(4, frames)
        self.link.write(stems)
        return np.concatenate([block, self.graph.cycle(block)])


def read(tape: Tape, at_most: int = 1000) -> np.ndarray:
    parts = [np.zeros((tape.channels, 0), np.float32)]
    out = np.full((tape.channels, at_most), np.nan, np.float32)
    while frames := tape.read(out):
        parts.append(out[:, :frames].copy())
    return np.concatenate(parts, axis=1)


@pytest.fixture
def rig():
    return Rig()


def test_all_that_is_heard_and_played_is_on_it_bit_for_bit(rig):
    tape = Tape(2, range(4), RATE)
    assert read(tape).shape == (6, 0)
    rig.cycle(64)
    rig.rt.tape(tape)
    rig.rt.set_gain(1, 0.25)
    cycles = [rig.cycle(frames) for frames in CYCLES]
    np.testing.assert_array_equal(read(tape), np.concatenate(cycles, axis=1))
    assert tape.lost_frames == 0


def test_some_outputs_only(rig):
    tape = Tape(2, [3, 1], RATE)
    rig.rt.tape(tape)
    cycle = rig.cycle(300)
    np.testing.assert_array_equal(read(tape), cycle[[0, 1, 5, 3]])


def test_before_the_gains_it_is_what_the_engine_gave():
    tapes = Tape(2, range(4), RATE), Tape(2, range(4), RATE, before_gains=True)
    heard = []
    for tape, rig in zip(tapes, (Rig(), Rig()), strict=True):
        rig.rt.tape(tape)
        rig.rt.set_gain(2, 0.5)
        heard.append(rig.cycle(600))
    np.testing.assert_array_equal(heard[0], heard[1])
    as_heard, before = map(read, tapes)
    np.testing.assert_array_equal(as_heard, heard[0])
    np.testing.assert_array_equal(np.delete(before, 4, 0), np.delete(as_heard, 4, 0))
    np.testing.assert_array_equal(before[4, 100:] / 2, as_heard[4, 100:])


def test_what_no_longer_fits_is_silent_counted_and_the_rest_in_its_place(rig):
    tape = Tape(2, range(4), RATE)
    rig.rt.tape(tape)
    cycles = [rig.cycle(500) for _ in range(150)]
    got, lost = read(tape), 150 * 500 - CAPACITY
    assert tape.lost_frames == lost
    assert not got[:, :lost].any()
    np.testing.assert_array_equal(got[:, lost:], np.concatenate(cycles, axis=1)[:, lost:])


def test_an_output_without_a_port_is_silent(rig):
    tape = Tape(2, range(4), RATE)
    rig.rt.tape(tape)
    rig.cycle(100)
    rig.graph.remove_outputs({"o2": 2})
    rig.cycle(100)
    got = read(tape)
    assert got[4, :100].any()
    assert not got[4, 100:].any()
    assert got[5, 100:].any()


def test_a_cycle_without_a_buffer_is_taped_as_it_is_played(rig):
    tape = Tape(2, range(4), RATE)
    rig.rt.tape(tape)
    rig.graph.without_buffer = {"i1"}
    rig.cycle(100)
    got = read(tape)
    assert got[0].any()
    assert not got[1].any()


def test_once_it_is_taken_away_it_gets_no_more_and_may_go(rig):
    tape, next_one = Tape(2, range(4), RATE), Tape(2, range(4), RATE)
    rig.rt.tape(tape)
    rig.cycle(10)
    rig.rt.tape(next_one)
    rig.cycle(20)
    rig.rt.tape(None)
    rig.cycle(40)
    assert read(tape).shape[1] == 10
    assert read(next_one).shape[1] == 20
    gone = weakref.ref(tape)
    del tape
    gc.collect()
    assert gone() is None


def test_the_callbacks_keep_the_one_that_they_fill(rig):
    tape = weakref.ref(first := Tape(2, range(4), RATE))
    rig.rt.tape(first)
    del first
    gc.collect()
    assert tape() is not None
    rig.cycle(10)


@pytest.mark.parametrize("rate", [44_100, 48_000, 192_000])
def test_it_holds_as_long_as_it_is_said_to(rate):
    tape = Tape(2, [0], rate)
    rt, graph = RealtimeSide(2, 1, rate), FakeGraph(rate)
    graph.bind(rt.callbacks, ["i0", "i1"], ["o0"])
    rt.tape(tape)
    cycles = int(tape_module.TAPE_S * rate / 8192)
    for _ in range(cycles):
        graph.cycle(np.ones((2, 8192), np.float32))
    assert read(tape, 8192)[0].all()
    assert tape.lost_frames == 0


def test_an_array_of_another_shape_is_refused(rig):
    with pytest.raises(ValueError, match=r"float32 \(5, 9\) is not float32 \(6, frames\)"):
        Tape(2, range(4), RATE).read(np.empty((5, 9), np.float32))
