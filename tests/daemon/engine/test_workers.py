"""The worker pool's contract with the separator, shared with the plain one where both have it."""

import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from stemd.daemon.engine.workers import FIRST_PAUSE_S, LAST_PAUSE_S, Probation, WorkerPool
from stemd.daemon.errors import StemdError
from stemd.dsp.banks import Bank, InTurn
from stemd.dsp.scheme import Scheme
from waiting import PATIENCE_S

SCHEME = Scheme(T=64, B=2, A=1)


def doubling(window, out):
    out[:] = 2 * window[-3:-1]


def negating(window, out):
    out[:] = -window[-3:-1]


NETWORKS = {"vocals": doubling, "accompaniment": negating}


@pytest.fixture
def pool():
    """A function that makes a pool; all are stopped at the end."""
    pools = []

    def make(networks, patience=lambda: None):
        pools.append(WorkerPool(networks, patience))
        pools[-1].start()
        return pools[-1]

    yield make
    for each in pools:
        each.stop()


def bank(seed: int) -> Bank:
    filled = Bank(SCHEME, 2)
    filled.magnitudes[:] = np.random.default_rng(seed).random(filled.magnitudes.shape)
    return filled


@pytest.mark.parametrize("kind", ["in turn", "pool"])
def test_each_network_fills_its_own_estimates(pool, kind):
    networks = InTurn(list(NETWORKS.values())) if kind == "in turn" else pool(NETWORKS)
    for seed in range(5):
        filled = bank(seed)
        heard = filled.magnitudes.copy()
        networks.submit(filled)
        assert networks.collect(filled)
        np.testing.assert_array_equal(filled.estimates[0], 2 * heard[-3:-1])
        np.testing.assert_array_equal(filled.estimates[1], -heard[-3:-1])
        np.testing.assert_array_equal(filled.magnitudes, heard)


class Sliding:
    """A network that notes the streams that it is asked for, and their blocks."""

    def __init__(self) -> None:
        self.streams: list[list[int]] = []

    def __call__(self, window, out):
        pytest.fail("it was run on a window of its own")

    def stream(self):
        numbers: list[int] = []
        self.streams.append(numbers)
        return lambda window, out, number: numbers.append(number)


@pytest.mark.parametrize("kind", ["in turn", "pool"])
def test_each_pool_begins_a_stream_of_each_network(pool, kind):
    networks = {stem: Sliding() for stem in NETWORKS}
    for _ in range(2):
        begun = InTurn(list(networks.values())) if kind == "in turn" else pool(networks)
        for number in (1, 2, 5):
            filled = bank(0)
            filled.number = number
            begun.submit(filled)
            assert begun.collect(filled)
    for network in networks.values():
        assert network.streams == [[1, 2, 5], [1, 2, 5]]


def test_collect_gives_up_when_patience_ends_and_may_ask_again(pool):
    go = threading.Event()
    blocked = pool(
        {"vocals": lambda *_: go.wait(PATIENCE_S), "accompaniment": negating}, lambda: 0.0
    )
    filled = bank(0)
    blocked.submit(filled)
    assert not blocked.collect(filled)
    assert not blocked.collect(filled)
    go.set()
    blocked._patience = lambda: None
    assert blocked.collect(filled)


def test_networks_run_at_the_same_time(pool):
    both = threading.Barrier(2)
    meeting = {stem: lambda *_: both.wait(PATIENCE_S) for stem in NETWORKS}
    together = pool(meeting)
    filled = bank(0)
    together.submit(filled)
    assert together.collect(filled)


def test_fast_network_does_not_wait_for_a_slow_one(pool):
    far_ahead, passed = threading.Event(), []

    def slow(*_):
        assert far_ahead.wait(PATIENCE_S)

    def fast(window, out):
        passed.append(window)
        if len(passed) == 3:
            far_ahead.set()

    unequal = pool({"vocals": slow, "accompaniment": fast})
    banks = [bank(seed) for seed in range(3)]
    for each in banks:
        unequal.submit(each)
    assert all(unequal.collect(each) for each in banks)
    assert [id(window) for window in passed] == [id(each.magnitudes) for each in banks]


def test_each_network_runs_on_a_thread_of_its_own_named_after_its_stem(pool):
    names = {}

    def network(stem):
        return lambda *_: names.setdefault(stem, threading.current_thread().name)

    named = pool({stem: network(stem) for stem in NETWORKS})
    filled = bank(0)
    named.submit(filled)
    assert named.collect(filled)
    assert names == {"vocals": "stemd-vocals", "accompaniment": "stemd-accompaniment"}


def test_networks_that_hang_are_waited_for_together(pool, monkeypatch):
    monkeypatch.setattr("stemd.daemon.engine.workers.STOP_S", 0.5)
    go = threading.Event()
    stuck = pool({str(n): lambda *_: go.wait(PATIENCE_S) for n in range(20)})
    filled = Bank(SCHEME, 20)
    stuck.submit(filled)
    began = time.monotonic()
    assert not stuck.stop()
    assert time.monotonic() - began < 5  # not 20 times as long
    go.set()


def test_failing_network_is_named(pool):
    def failing(*_):
        raise RuntimeError("out of order")

    broken = pool({"vocals": doubling, "accompaniment": failing})
    filled = bank(0)
    broken.submit(filled)
    with pytest.raises(StemdError, match="the network for accompaniment failed: out of order"):
        broken.collect(filled)


def test_networks_that_do_not_keep_up_have_trials_at_pauses_that_double():
    probation, now, seen = Probation(1.0), 100.0, []
    probation.begin(now)
    while now < 100 + 300:
        seen.append(probation.is_trial(now))
        now += 0.25
    assert all(seen[:4]), "a hitch may have been the reason"
    changes = [n for n in range(1, len(seen)) if seen[n] != seen[n - 1]]
    lengths = [(after - before) / 4 for before, after in pairwise(changes)]
    pauses, trials = lengths[::2], lengths[1::2]  # the first trial has no beginning
    assert trials == [1.0] * len(trials)
    assert pauses[:6] == [4.0, 8.0, 16.0, 32.0, 64.0, 64.0]
    assert (pauses[0], max(pauses)) == (FIRST_PAUSE_S, LAST_PAUSE_S)


def test_trial_is_not_made_up_for(pool):
    probation = Probation(1.0)
    probation.begin(0.0)
    assert not probation.is_trial(50.0), "the engine stood still"
    assert not probation.is_trial(53.0)
    assert probation.is_trial(54.5)
