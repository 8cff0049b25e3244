"""What two threads set on one separation at once: neither undoes the other's."""

import threading
from itertools import count

import numpy as np
import pytest

from fake_graph import FakeGraph
from stemd.daemon.engine import separation as separation_module
from stemd.daemon.engine.realtime import RealtimeSide
from stemd.daemon.engine.scheduling import NORMAL, Priorities
from stemd.daemon.engine.separation import Separation
from stemd.daemon.errors import StemdError
from stemd.daemon.ports import INPUTS, OUTPUTS, outputs_of
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import SAMPLERATE, SPLEETER, Scheme
from two_networks import low_and_high
from waiting import wait_until

HOP_LENGTH = SPLEETER.hop_length

SCHEME = Scheme(T=64, B=1, A=1)
PRIORITIES = Priorities(engine=3, steering=2, workers=1)


@pytest.fixture
def separation():
    networks = low_and_high(SCHEME)
    graph, rt = FakeGraph(), RealtimeSide(len(INPUTS), len(OUTPUTS), SAMPLERATE)
    graph.bind(rt.callbacks, INPUTS, [])
    graph.add_outputs(outputs_of(networks))
    made = Separation(networks, SCHEME, MaskExtension.MEAN, rt, SAMPLERATE, HOP_LENGTH)
    assert rt.attach(made.link)
    made.graph = graph
    yield made
    made.stop()
    rt.callbacks.detach()


def is_dry(separation) -> bool:
    """The first stem is silent in the dry signal; the second one has it."""
    for _ in range(20):
        separation.link.write(np.ones((4, HOP_LENGTH), "f4"))
        out = separation.graph.cycle(np.zeros((2, HOP_LENGTH), "f4"))
    return not out[0].any()


def meanwhile(monkeypatch, target, name: str, other) -> None:
    """Have another thread's ``other()`` happen right before the next call of a method."""
    method = getattr(target, name)

    def interrupted(*arguments):
        monkeypatch.setattr(target, name, method)
        other()
        method(*arguments)

    monkeypatch.setattr(target, name, interrupted)


@pytest.fixture
def idle(separation, monkeypatch):
    """A separation whose engine stands still: the test is both of its threads."""
    separation._engine.stop()
    return separation


@pytest.mark.parametrize("bypassed", [False, True])
@pytest.mark.parametrize("overloaded", [False, True])
@pytest.mark.parametrize("first", ["bypass", "_set_overloaded"])
def test_bypass_and_overload_never_undo_each_other(idle, monkeypatch, bypassed, overloaded, first):
    idle.bypass(not bypassed)
    idle._set_overloaded(not overloaded)
    changes = {"bypass": bypassed, "_set_overloaded": overloaded}
    second = next(name for name in changes if name != first)
    meanwhile(monkeypatch, idle.link, "set_dry", lambda: getattr(idle, second)(changes[second]))
    getattr(idle, first)(changes[first])
    assert is_dry(idle) is (bypassed or overloaded)


@pytest.mark.parametrize("overloaded", [False, True])
def test_networks_priority_follows_the_server_and_the_load_in_any_order(idle, overloaded):
    for change in (
        lambda: idle.set_priorities(PRIORITIES),
        lambda: idle._workers.set_overloaded(overloaded),
        lambda: idle.set_priorities(Priorities()),
        lambda: idle.set_priorities(PRIORITIES),
    ):
        change()
    for worker in idle._workers.workers:
        assert worker._thread.wanted == (NORMAL if overloaded else PRIORITIES.workers)


def test_after_a_hitch_networks_keep_their_priority_for_a_trial(idle):
    idle.set_priorities(PRIORITIES)
    idle._separator.blocks.late_in_a_row = idle._overloaded_after
    idle._watch_load()
    assert idle.is_overloaded
    assert [worker._thread.wanted for worker in idle._workers.workers] == [1, 1]
    idle._probation.begin(-60.0)  # it is long over
    idle._watch_load()
    assert [worker._thread.wanted for worker in idle._workers.workers] == [NORMAL, NORMAL]
    assert idle.are_networks_lowered
    idle._separator.blocks.late_in_a_row = 0
    idle._separator.blocks.in_time_in_a_row = idle._recovered_after
    idle._watch_load()
    assert not idle.is_overloaded
    assert [worker._thread.wanted for worker in idle._workers.workers] == [1, 1]


def test_it_rests_when_it_has_made_output(separation, monkeypatch):
    """Not after each short period: a moment later the output lasts for a hop less."""
    rests, frames = [], HOP_LENGTH // 4
    monkeypatch.setattr(
        "stemd.daemon.engine.engine.engine_rests",
        lambda: rests.append(separation._engine.processed),
    )
    for heard in range(frames, 4 * HOP_LENGTH, frames):
        separation.graph.cycle(np.zeros((2, frames), "f4"))
        wait_until(lambda heard=heard: separation._engine.processed == heard)
        wait_until(lambda heard=heard: len(rests) >= heard // HOP_LENGTH)
    assert rests == [HOP_LENGTH, 2 * HOP_LENGTH, 3 * HOP_LENGTH]


@pytest.mark.parametrize("part", ["Separator", "Pipeline", "Link", "Engine"])
def test_what_cannot_be_made_leaves_no_thread(separation, monkeypatch, part):
    def fail(*_, **__):
        raise MemoryError

    before = set(threading.enumerate())
    monkeypatch.setattr(separation_module, part, fail)
    with pytest.raises(MemoryError):
        Separation(low_and_high(SCHEME), SCHEME, MaskExtension.MEAN, None, SAMPLERATE, HOP_LENGTH)
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("started", range(3))
def test_all_threads_are_started_or_none(separation, monkeypatch, started):
    starts = count()

    def start(self):
        if next(starts) == started:
            raise RuntimeError("can't start new thread")
        return started_by(self)

    started_by = threading.Thread.start
    before = set(threading.enumerate())
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(StemdError, match="can't start new thread: the system permits no more"):
        Separation(low_and_high(SCHEME), SCHEME, MaskExtension.MEAN, None, SAMPLERATE, HOP_LENGTH)
    assert set(threading.enumerate()) == before
