"""The compiled side's contract: every frame in its place or silence, and every miss counted."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_graph import FakeGraph
from stemd.daemon._rt import lib
from stemd.daemon.realtime import RealtimeSide

RATE = 8_000
CAPACITY = 16_384  # of the input ring: a second and the longest period
KEPT = CAPACITY - lib.RT_MAX_CHUNK


def side(prefill: int, inputs: int = 2, outputs: int = 4) -> tuple[FakeGraph, RealtimeSide]:
    rt = RealtimeSide(inputs, outputs, prefill, RATE)
    graph = FakeGraph(RATE)
    graph.bind(rt, [f"i{n}" for n in range(inputs)], [f"o{n}" for n in range(outputs)])
    return graph, rt


def ramp(start: int, frames: int, channels: int = 2) -> np.ndarray:
    """Samples that tell their channel and their place."""
    return (np.arange(start, start + frames) + 1e6 * np.arange(channels)[:, None]).astype("f4")


def fetch(rt: RealtimeSide, at_most: int) -> np.ndarray:
    out = np.full((rt.inputs, at_most), np.nan, np.float32)
    return out[:, : rt.read(out)]


def read_all(rt: RealtimeSide) -> np.ndarray:
    parts = [np.zeros((rt.inputs, 0), np.float32)]
    while (part := fetch(rt, 100_000)).size:
        parts.append(part)
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("period", [1, 16, 509, 4096, 8192, 16_384])
def test_input_is_fetched_whole_and_in_order(period):
    graph, rt = side(prefill=0)
    for start in range(0, 5 * period, period):
        graph.cycle(ramp(start, period))
        gone = max(period - KEPT, 0)
        got = read_all(rt)
        assert not got[:, :gone].any()
        np.testing.assert_array_equal(got[:, gone:], ramp(start, period)[:, gone:])
    assert rt.counters().lost_frames == 5 * gone


def test_period_longer_than_the_rings_is_heard_as_far_as_it_fits_and_played_as_silence():
    graph, rt = side(prefill=0)
    out = graph.cycle(ramp(0, 40_000))
    assert not out.any()
    got = read_all(rt)
    np.testing.assert_array_equal(got[:, -KEPT:], ramp(0, 40_000)[:, -KEPT:])
    assert rt.counters().late_frames == 40_000


def test_output_begins_with_the_prefill_of_silence():
    graph, rt = side(prefill=100)
    rt.write(ramp(0, 28, 4))
    out = graph.cycle(ramp(0, 128))
    assert not out[:, :100].any()
    np.testing.assert_array_equal(out[:, 100:], ramp(0, 28, 4))
    assert rt.counters().late_frames == 0


def test_missing_part_is_silence_counted_and_what_comes_late_is_never_played():
    graph, rt = side(prefill=0)
    rt.write(ramp(0, 30, 4))
    out = graph.cycle(ramp(0, 64))
    np.testing.assert_array_equal(out[:, :30], ramp(0, 30, 4))
    assert not out[:, 30:].any()
    rt.write(ramp(30, 50, 4))  # 34 of these are too late
    out = graph.cycle(ramp(64, 64))
    np.testing.assert_array_equal(out[:, :16], ramp(64, 16, 4))
    assert not out[:, 16:].any()
    counters = rt.counters()
    assert (counters.periods, counters.frames) == (2, 128)
    assert (counters.late_periods, counters.late_frames) == (2, 34 + 48)


def test_input_that_was_overwritten_is_silence_counted_and_the_rest_is_in_its_place():
    graph, rt = side(prefill=0)
    frames = 100 * 256
    for start in range(0, frames, 256):
        graph.cycle(ramp(start, 256))
    got = read_all(rt)
    lost = frames - KEPT
    assert rt.counters().lost_frames == lost
    assert got.shape == (2, frames)
    assert not got[:, :lost].any()
    np.testing.assert_array_equal(got[:, lost:], ramp(0, frames)[:, lost:])


@settings(deadline=None, max_examples=200)
@given(
    prefill=st.integers(0, 3000),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("cycle"), st.integers(1, 2000)),
            st.tuples(st.just("write"), st.integers(1, 400)),  # in all less than the ring
            st.tuples(st.just("read"), st.integers(1, 3000)),
        ),
        max_size=40,
    ),
)
def test_rings_behave_as_their_model(prefill, steps):
    """Against plain arithmetic on positions, for any order of cycles, reads and writes."""
    graph, rt = side(prefill)
    heard = read = played = late = lost = 0
    written = prefill
    for step, n in steps:
        if step == "cycle":
            out = graph.cycle(ramp(heard, n))
            ready = max(min(written - played, n), 0)
            expected = np.zeros((4, n), np.float32)
            places = np.arange(played, played + ready)
            tone = ramp(played - prefill, ready, 4)
            expected[:, :ready] = np.where(places < prefill, 0, tone)
            np.testing.assert_array_equal(out, expected)
            late += n - ready
            heard += n
            played += n
        elif step == "write":
            rt.write(ramp(written - prefill, n, 4))
            written += n
        else:
            got = fetch(rt, n)
            expected = ramp(read, min(n, heard - read))
            gone = max(heard - KEPT - read, 0)
            expected[:, :gone] = 0
            lost += min(gone, expected.shape[1])
            np.testing.assert_array_equal(got, expected)
            read += got.shape[1]
    assert (rt.counters().late_frames, rt.counters().lost_frames) == (late, lost)


def test_wait_returns_at_once_when_a_cycle_has_passed():
    graph, rt = side(prefill=0)
    graph.cycle(ramp(0, 16))
    done = threading.Event()

    def wait():
        rt.wait(60)
        done.set()

    threading.Thread(target=wait, daemon=True).start()
    assert done.wait(5)


def test_freewheeling_cycle_waits_for_the_engine():
    graph, rt = side(prefill=0)
    graph.freewheel(True)
    assert rt.freewheeling
    writer = threading.Thread(target=lambda: (rt.wait(5), rt.write(ramp(0, 64, 4))))
    writer.start()
    out = graph.cycle(ramp(0, 64))
    writer.join()
    np.testing.assert_array_equal(out, ramp(0, 64, 4))
    assert rt.counters().late_frames == 0


def test_released_cycle_does_not_wait():
    graph, rt = side(prefill=0)
    graph.freewheel(True)
    rt.release()
    assert not graph.cycle(ramp(0, 64)).any()
    assert rt.counters().late_frames == 64
    graph.freewheel(False)
    assert not rt.freewheeling
