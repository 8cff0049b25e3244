"""One contract for all graphs, the fake one, jackd's and PipeWire's: what goes through the ports
comes out separated, complete, in its place, whatever the period."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest

from rigs import STOOD_STILL, Watch, session_on, unless_the_machine_stood_still
from stemd.dsp.banks import InTurn
from stemd.dsp.masks import MaskExtension
from stemd.dsp.pipeline import Pipeline
from stemd.dsp.scheme import Scheme
from stemd.dsp.separator import Separator
from two_networks import low_and_high

pytestmark = unless_the_machine_stood_still

SCHEME = Scheme(T=64, B=3, A=2, mirror=4)

GRAPHS = [
    ("fake", 44_100, 1),
    ("fake", 44_100, 509),
    ("fake", 48_000, 256),
    ("jackd", 44_100, 64),
    ("jackd", 44_100, 256),
    ("jackd", 44_100, 1024),
    ("jackd", 44_100, 4096),
    ("jackd", 48_000, 128),
    ("jackd", 96_000, 512),
    ("pipewire", 44_100, 256),
    ("pipewire", 48_000, 1000),
]


NETWORKS = low_and_high(SCHEME)

PERIODS = [
    *(("jackd", 44_100, period) for period in (16, 1000, 8192)),
    *(("pipewire", 48_000, quantum) for quantum in (128, 8192)),
]
"""Unusual ones. With shorter quanta a busy machine's PipeWire leaves out cycles."""


@contextmanager
def start(rig):
    with session_on(rig, SCHEME) as session:
        yield session.separation


def noise(frames: int) -> np.ndarray:
    rng = np.random.default_rng(frames)
    return (0.1 * rng.standard_normal((2, frames))).astype(np.float32)


def pipeline(samplerate: int) -> Pipeline:
    """The same separation without graph, threads and rings."""
    networks = InTurn(list(NETWORKS.values()))
    return Pipeline(Separator(SCHEME, 2, networks, MaskExtension.MEAN), samplerate)


@pytest.mark.parametrize("graph", GRAPHS + PERIODS, ids=str)
def test_what_comes_out_is_the_stream_delayed_bit_for_bit(rig, graph):
    with rig(*graph) as r, start(r) as separation:
        watch = Watch(separation)
        begin, played, y = r.play(noise(60_000), watch)
        report = separation.report()
    assert graph[0] != "pipewire" or report.blocks.late == 0, STOOD_STILL  # it does not freewheel
    plain = pipeline(graph[1])
    heard = np.pad(played, ((0, 0), (begin, 0)))  # silence, before the player began
    separated = [out.copy() for out in plain.process(heard)]
    prefill = np.zeros((4, separation.delay - plain.latency), np.float32)
    expected = np.concatenate([prefill, *separated], axis=1)[:, begin : begin + y.shape[1]]
    np.testing.assert_array_equal(y, expected)
    assert y.any()
    assert separation.failure is None
    assert report.blocks.total > 0
    assert watch.last.late_frames == watch.first.late_frames
    assert watch.last.lost_frames == 0


@pytest.mark.parametrize("graph", [g for g in GRAPHS if g[1] == 44_100], ids=str)
def test_stems_sum_to_the_input_at_the_declared_delay(rig, graph):
    with rig(*graph) as r, start(r) as separation:
        _, played, y = r.play(noise(60_000), Watch(separation))
    total = y.reshape(2, 2, -1).sum(axis=0)[:, separation.delay :]
    error = total - played[:, : total.shape[1]]
    assert 10 * np.log10((error**2).sum() / (played**2).sum()) < -100


@pytest.mark.parametrize("kind", ["jackd", "pipewire"])
@pytest.mark.parametrize("side", "LR")
def test_a_side_without_a_connection_is_silent_and_the_other_whole(rig, kind, side):
    with rig(kind, 44_100, 256, sides=side) as r, start(r) as separation:
        watch = Watch(separation)
        _, played, y = r.play(noise(40_000), watch)
    total = y.reshape(2, 2, -1).sum(axis=0)[:, separation.delay :]
    connected, other = ("LR".index(each) for each in (side, "LR".replace(side, "")))
    error = total[connected] - played[connected, : total.shape[1]]
    assert 10 * np.log10((error**2).sum() / (played[connected] ** 2).sum()) < -100
    assert not total[other].any()
    assert watch.last.late_frames == watch.first.late_frames


@pytest.mark.parametrize("graph", [g for g in GRAPHS if g[1] == 44_100], ids=str)
def test_impulse_comes_out_at_the_declared_delay_to_the_frame(rig, graph):
    x = np.zeros((2, 60_000), np.float32)
    x[:, 7_777] = 1
    with rig(*graph) as r, start(r) as separation:
        _, played, y = r.play(x, Watch(separation))
    total = y.reshape(2, 2, -1).sum(axis=0)
    delays = np.argmax(np.abs(total), axis=1) - np.argmax(played, axis=1)
    assert delays.tolist() == [separation.delay] * 2


@pytest.mark.parametrize("graph", [("fake", 44_100, 256), ("jackd", 44_100, 256)], ids=str)
def test_ports_stand_in_order(rig, graph):
    with rig(*graph) as r, start(r):
        assert r.ports() == [
            *("in_L", "in_R", "vocals_L", "vocals_R", "accompaniment_L", "accompaniment_R"),
        ]


@pytest.mark.parametrize("graph", [("fake", 44_100, 256), ("jackd", 44_100, 256)], ids=str)
def test_no_thread_is_left_behind(rig, graph):
    with rig(*graph) as r:
        before = set(threading.enumerate())
        with start(r):
            assert {thread.name for thread in set(threading.enumerate()) - before} >= {
                *("stemd-engine", "stemd-vocals", "stemd-accompaniment"),
            }
        ours = {t for t in threading.enumerate() if t.name.startswith("stemd")}
        assert ours <= before  # of the player and the recorder, which are clients too
