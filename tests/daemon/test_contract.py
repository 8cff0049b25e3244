"""One contract for all graphs, the fake one, jackd's and PipeWire's: what goes through the ports
comes out separated, complete, in its place, whatever the period."""

import threading

import numpy as np
import pytest

from rigs import Take, measure, session_on
from stemd.dsp.banks import InTurn
from stemd.dsp.mask_kinds import MaskExtension
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


AN_IMPULSE = [("fake", 44_100, 509), ("jackd", 44_100, 64), ("pipewire", 44_100, 1024)]
"""Graphs that get one: noise shows the delay in all of them, and test_delay.py has the others."""

FRAMES, SOME = 60_000, 12_000
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


def is_silent_against(error: np.ndarray, played: np.ndarray) -> bool:
    """Whether it is below -100 dB of it."""
    return bool((error**2).sum() < 1e-10 * (played**2).sum())


def total(take: Take) -> np.ndarray:
    """The sum of the stems, a side each."""
    return take.y.reshape(2, 2, -1).sum(axis=0)


def expected(take: Take, samplerate: int) -> np.ndarray:
    """The separation of what was played, delayed."""
    plain = pipeline(samplerate)
    heard = np.pad(take.played, ((0, 0), (take.begin, 0)))  # silence, before the player began
    separated = [out.copy() for out in plain.process(heard)]
    prefill = np.zeros((4, take.delay - plain.latency), np.float32)
    end = take.begin + take.y.shape[1]
    return np.concatenate([prefill, *separated], axis=1)[:, take.begin : end]


def are_summed(take: Take, side: slice = slice(2)) -> bool:
    """Whether the stems sum to what was played before the delay."""
    played = take.played[side]
    heard = total(take)[side, take.delay :]
    assert played.any()
    return is_silent_against(heard - played[:, : heard.shape[1]], played)


@pytest.mark.parametrize("graph", GRAPHS + PERIODS, ids=str)
def test_what_comes_out_is_the_stream_delayed_bit_for_bit_and_sums_to_it(rig, graph):
    """Without resampling the sum is the input, to the frame at the declared delay."""
    is_exact = graph[1] == 44_100 and graph[2] > 1

    def is_right(take: Take) -> bool:
        is_same = np.array_equal(take.y, expected(take, graph[1]))
        return is_same and (not is_exact or are_summed(take))

    take = play(rig, graph, FRAMES if graph[2] > 1 else SOME, is_right=is_right)
    np.testing.assert_array_equal(take.y, expected(take, graph[1]))
    assert not is_exact or are_summed(take)
    assert take.y.any()
    assert take.report.blocks.total > 0
    assert not take.in_real_time or take.report.blocks.late == 0
    assert not take.report.is_overloaded
    assert take.last.late_frames == take.first.late_frames
    assert take.last.lost_frames == 0


@pytest.mark.parametrize("kind", ["jackd", "pipewire"])
@pytest.mark.parametrize("side", "LR")
def test_a_side_without_a_connection_is_silent_and_the_other_whole(rig, kind, side):
    connected = slice(0, 1) if side == "L" else slice(1, 2)

    def is_right(take: Take) -> bool:
        return are_summed(take, connected)

    take = play(rig, (kind, 44_100, 256), 40_000, sides=side, is_right=is_right)
    assert is_right(take)
    assert not np.delete(total(take)[:, take.delay :], connected, axis=0).any()
    assert take.last.late_frames == take.first.late_frames


def measured_delays(take: Take) -> list[int]:
    """From the loudest frame that went in to the loudest that came out, of each side."""
    return list(np.argmax(np.abs(total(take)), axis=1) - np.argmax(take.played, axis=1))


@pytest.mark.parametrize("graph", AN_IMPULSE, ids=str)
def test_impulse_comes_out_at_the_declared_delay_to_the_frame(rig, graph):
    def is_right(take: Take) -> bool:
        return measured_delays(take) == [take.delay] * 2

    x = np.zeros((2, FRAMES), np.float32)
    x[:, 7_777] = 1
    take = measure(rig, graph, SCHEME, lambda delay: x, is_right=is_right)
    assert measured_delays(take) == [take.delay] * 2


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
