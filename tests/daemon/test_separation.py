"""What happens when a part of the live separation is late or fails, on the fake graph."""

import threading
import time

import numpy as np
import pytest

from fake_graph import FakeGraph
from stemd.daemon.separation import ENGINE_TIME_S, ring_prefill, separating
from stemd.dsp.masks import MaskExtension
from stemd.dsp.scheme import Scheme

SCHEME = Scheme(T=64, B=3, A=2)


def passing(window, out):
    out[:] = window[-SCHEME.B - SCHEME.A : -SCHEME.A]


def start(graph, networks, troubles):
    return separating(graph, networks, SCHEME, MaskExtension.MEAN, troubles.append)


def noise(frames: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((2, frames)).astype(np.float32)


@pytest.mark.parametrize("samplerate", [22_050, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("blocksize", [16, 100, 1024, 8192])
def test_prefill_is_whole_periods_and_leaves_the_engine_its_time(samplerate, blocksize):
    frames = ring_prefill(blocksize, samplerate)
    assert frames % blocksize == 0
    assert frames - blocksize >= ENGINE_TIME_S * samplerate
    assert frames - 2 * blocksize < ENGINE_TIME_S * samplerate


def test_engine_that_stands_still_costs_silence_and_no_delay():
    """The engine is held up for a while; what it then brings is played in its place or not."""
    standing, go = threading.Event(), threading.Event()
    calls = []

    def sometimes_slow(window, out):
        passing(window, out)
        calls.append(1)
        if len(calls) == 12:
            standing.set()
            assert go.wait(10)

    graph = FakeGraph(blocksize=256)
    with start(graph, {"vocals": sometimes_slow, "accompaniment": passing}, []) as separation:
        graph.freewheel(True)  # the engine waits for its networks, and the cycles for the engine
        x = noise(256 * 480)
        y = [graph.cycle(x[:, i : i + 256]) for i in range(0, 256 * 120, 256)]
        while not standing.is_set():
            y.append(graph.cycle(x[:, 256 * len(y) : 256 * (len(y) + 1)]))
        graph.freewheel(False)
        y += [graph.cycle(x[:, 256 * n : 256 * (n + 1)]) for n in range(len(y), len(y) + 100)]
        assert separation.report().counters.late_frames > 0
        go.set()
        graph.freewheel(True)
        y += [graph.cycle(x[:, 256 * n : 256 * (n + 1)]) for n in range(len(y), 480)]
    total = np.concatenate(y, axis=1).reshape(2, 2, -1).sum(axis=0)[:, separation.delay :]
    played = x[:, : total.shape[1]]
    right = np.isclose(total, played, atol=1e-4).all(axis=0)
    silent = (total == 0).all(axis=0)
    assert (right | silent).all(), "something stands in another place than its own"
    assert separation.report().counters.late_frames == silent.sum() > 0
    assert right[-256 * 200 :].all()


def test_late_network_is_counted_and_the_sum_stays_whole():
    go = threading.Event()

    def stuck_at_first(window, out):
        assert go.wait(10)
        passing(window, out)

    # One cycle is one hop here, and a wait for the engine's output follows each.
    graph = FakeGraph(blocksize=1024)
    with start(graph, {"vocals": stuck_at_first, "accompaniment": passing}, []) as separation:
        x = noise(1024 * 60)
        y = []
        for n in range(60):
            y.append(graph.cycle(x[:, 1024 * n : 1024 * (n + 1)]))
            wait_for_block(separation, (n + 1) // SCHEME.B - 1)
            if n == 20:
                go.set()
        report = separation.report()
    assert 0 < report.blocks.late < report.blocks.total == 19
    total = np.concatenate(y, axis=1).reshape(2, 2, -1).sum(axis=0)[:, separation.delay :]
    silent = (total == 0).all(axis=0)  # the test's own haste
    difference = np.abs(total - x[:, : total.shape[1]]).max(axis=0)
    assert difference[~silent].max() < 1e-4


def wait_for_block(separation, number: int) -> None:
    """The separation tells nobody when a block fell due, so look again and again."""
    for _ in range(5000):
        if separation.report().blocks.total >= number:
            return
        time.sleep(0.001)
    raise AssertionError("the engine does not get on")


def test_failing_network_is_reported():
    told = threading.Event()
    troubles = []

    def failing(*_):
        raise RuntimeError("out of order")

    def on_trouble(text):
        troubles.append(text)
        told.set()

    graph = FakeGraph(blocksize=1024)
    networks = {"vocals": failing, "accompaniment": passing}
    with separating(graph, networks, SCHEME, MaskExtension.MEAN, on_trouble):
        for _ in range(10):
            graph.cycle(noise(1024))
        assert told.wait(10)
    assert troubles == ["the engine stopped: the network for vocals failed: out of order"]
    assert graph.closed


def test_server_that_goes_away_is_reported():
    troubles = []
    graph = FakeGraph()
    with start(graph, {"vocals": passing, "accompaniment": passing}, troubles):
        graph.on_shutdown("it was tired")
    assert troubles == ["the server went away: it was tired"]


def test_client_that_cannot_be_bound_leaves_nothing_behind():
    class Refusing(FakeGraph):
        def bind(self, *_):
            raise RuntimeError("no ports left")

    graph = Refusing()
    with (
        pytest.raises(RuntimeError, match="no ports left"),
        start(graph, {"vocals": passing, "accompaniment": passing}, []),
    ):
        pass
    assert graph.closed
    assert not [t for t in threading.enumerate() if t.name.startswith("stemd")]
