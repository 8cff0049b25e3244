"""One contract for all graphs, the fake one, jackd's and PipeWire's: what goes through the ports
comes out separated, complete, in its place, whatever the period."""

import threading

import numpy as np
import pytest

from rigs import measure, session_on
from stemd.dsp.banks import InTurn
from stemd.dsp.masks import MaskExtension
from stemd.dsp.pipeline import Pipeline
from stemd.dsp.scheme import Scheme
from stemd.dsp.separator import Separator
from two_networks import low_and_high
from waiting import wait_until

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
    *((f"jackd -P {priority}", 44_100, 256) for priority in (10, 70)),
    ("pipewire", 44_100, 256),
    ("pipewire", 48_000, 1000),
    ("desktop", 44_100, 1024),
    ("desktop", 48_000, 1024),
    ("pipewire", 44_100, 1024),
]
"""For the kinds of server see the fixture `rig`."""


AT_44_100 = [graph for graph in GRAPHS if graph[1] == 44_100 and graph[2] > 1]

FRAMES, SOME = 60_000, 20_000
"""What is played; some of it suffices where each frame is a cycle in Python."""

NETWORKS = low_and_high(SCHEME)

PERIODS = [
    *(("jackd", 44_100, period) for period in (16, 1000, 8192)),
    *(("pipewire", 48_000, quantum) for quantum in (128, 8192)),
]
"""Unusual ones. With shorter quanta a busy machine's PipeWire leaves out cycles."""


def noise(frames: int) -> np.ndarray:
    rng = np.random.default_rng(frames)
    return (0.1 * rng.standard_normal((2, frames))).astype(np.float32)


def pipeline(samplerate: int) -> Pipeline:
    """The same separation without graph, threads and rings."""
    networks = InTurn(list(NETWORKS.values()))
    return Pipeline(Separator(SCHEME, 2, networks, MaskExtension.MEAN), samplerate)


def play(rig, graph, frames: int, **options):
    """Noise through the daemon."""
    return measure(rig, graph, SCHEME, lambda delay: noise(frames), **options)


def assert_silent_against(error: np.ndarray, played: np.ndarray) -> None:
    """Below -100 dB of it."""
    assert played.any()
    wrong = np.flatnonzero(np.abs(error).max(axis=0) > 1e-5) if error.ndim > 1 else []
    where = f"{len(wrong)} frames are wrong, from {wrong[:1]} to {wrong[-1:]}, {error.shape}"
    assert (error**2).sum() < 1e-10 * (played**2).sum(), where


@pytest.mark.parametrize("graph", GRAPHS + PERIODS, ids=str)
def test_what_comes_out_is_the_stream_delayed_bit_for_bit(rig, graph):
    take = play(rig, graph, FRAMES if graph[2] > 1 else SOME)
    plain = pipeline(graph[1])
    heard = np.pad(take.played, ((0, 0), (take.begin, 0)))  # silence, before the player began
    separated = [out.copy() for out in plain.process(heard)]
    prefill = np.zeros((4, take.delay - plain.latency), np.float32)
    end = take.begin + take.y.shape[1]
    expected = np.concatenate([prefill, *separated], axis=1)[:, take.begin : end]
    np.testing.assert_array_equal(take.y, expected)
    assert take.y.any()
    assert take.report.blocks.total > 0
    assert not take.in_real_time or take.report.blocks.late == 0
    assert not take.report.is_overloaded
    assert take.last.late_frames == take.first.late_frames
    assert take.last.lost_frames == 0


@pytest.mark.parametrize("graph", AT_44_100, ids=str)
def test_stems_sum_to_the_input_at_the_declared_delay(rig, graph):
    take = play(rig, graph, FRAMES)
    total = take.y.reshape(2, 2, -1).sum(axis=0)[:, take.delay :]
    assert_silent_against(total - take.played[:, : total.shape[1]], take.played)


@pytest.mark.parametrize("kind", ["jackd", "pipewire"])
@pytest.mark.parametrize("side", "LR")
def test_a_side_without_a_connection_is_silent_and_the_other_whole(rig, kind, side):
    take = play(rig, (kind, 44_100, 256), 40_000, sides=side)
    total = take.y.reshape(2, 2, -1).sum(axis=0)[:, take.delay :]
    connected, other = ("LR".index(each) for each in (side, "LR".replace(side, "")))
    played = take.played[connected]
    assert_silent_against(total[connected] - played[: total.shape[1]], played)
    assert not total[other].any()
    assert take.last.late_frames == take.first.late_frames


@pytest.mark.parametrize("graph", AT_44_100, ids=str)
def test_impulse_comes_out_at_the_declared_delay_to_the_frame(rig, graph):
    x = np.zeros((2, FRAMES), np.float32)
    x[:, 7_777] = 1
    take = measure(rig, graph, SCHEME, lambda delay: x)
    total = take.y.reshape(2, 2, -1).sum(axis=0)
    delays = np.argmax(np.abs(total), axis=1) - np.argmax(take.played, axis=1)
    assert delays.tolist() == [take.delay] * 2


@pytest.mark.parametrize("graph", [("fake", 44_100, 256), ("jackd", 44_100, 256)], ids=str)
def test_ports_stand_in_order(rig, graph):
    with rig(*graph) as r, session_on(r, SCHEME):
        assert r.ports() == [
            *("in_L", "in_R", "vocals_L", "vocals_R", "accompaniment_L", "accompaniment_R"),
        ]


@pytest.mark.parametrize("graph", [("fake", 44_100, 256), ("jackd", 44_100, 256)], ids=str)
def test_no_thread_is_left_behind(rig, graph):
    with rig(*graph) as r:
        before = set(threading.enumerate())
        with session_on(r, SCHEME):
            assert {thread.name for thread in set(threading.enumerate()) - before} >= {
                *("stemd-engine", "stemd-vocals", "stemd-accompaniment"),
            }

        def ours() -> set[threading.Thread]:
            return {t for t in threading.enumerate() if t.name.startswith("stemd")}

        # Of those before are the player's and the recorder's, which are clients too.
        wait_until(lambda: ours() <= before)
