"""What is measured anew, and what is not."""

import itertools
import os
import signal
from time import monotonic

import pytest

from stalls import DISTURBING_S, TELLING, DisturbedError, Pulse, measure_undisturbed


def hold_interpreter(seconds: float) -> int:
    """As a daemon that keeps it from all other threads."""
    until, count = monotonic() + seconds, 0
    while monotonic() < until:
        count = sum(range(1000))
    return count


def test_what_this_process_does_is_no_standstill_of_the_machine():
    measured = []

    def measure() -> bool:
        measured.append(hold_interpreter(0.1))
        return True

    assert measure_undisturbed(measure, bool, spare_s=60.0)
    assert len(measured) == 1


def test_a_standstill_of_the_machine_is_seen():
    pulse = Pulse()
    os.kill(pulse._process.pid, signal.SIGSTOP)
    hold_interpreter(0.05)
    os.kill(pulse._process.pid, signal.SIGCONT)
    assert pulse.stop() > 0.04


SPARE_S = 0.01


@pytest.fixture
def stands_still(monkeypatch):
    """Have the machine stand still for so long in each take."""

    def each(*seconds: float) -> None:
        left = itertools.cycle(seconds)
        monkeypatch.setattr(Pulse, "__init__", lambda self, priority: None)
        monkeypatch.setattr(Pulse, "stop", lambda self: next(left))

    return each


def measure_takes(*takes: bool) -> tuple[bool, int]:
    """Return the take that counts, of takes that are late or not, and how many there were."""
    left = itertools.cycle(takes)
    made = []

    def measure() -> bool:
        made.append(next(left))
        return made[-1]

    return measure_undisturbed(measure, bool, SPARE_S), len(made)


def test_what_is_late_though_the_machine_goes_on_is_late(stands_still):
    stands_still(0.9 * SPARE_S)
    assert measure_takes(True, False) == (True, 1)


def test_what_is_late_most_of_the_time_fails_although_the_machine_stands_still(stands_still):
    stands_still(2 * SPARE_S)
    with pytest.raises(pytest.fail.Exception, match="late, and it stood still for 20 ms"):
        measure_takes(True, True, False)


def test_what_is_late_now_and_then_while_the_machine_stands_still_passes(stands_still):
    stands_still(2 * SPARE_S)
    assert measure_takes(True, False) == (False, 2)
    assert measure_takes(True, True, False, False, True) == (False, 4)


def test_what_is_late_in_a_long_standstill_says_nothing(stands_still):
    stands_still(2 * TELLING * SPARE_S)
    assert measure_takes(True, True, True, True, False) == (False, 5)
    with pytest.raises(pytest.skip.Exception, match="nothing can be measured"):
        measure_takes(True)


def test_what_is_disturbed_is_measured_anew_and_in_the_end_it_fails_or_is_skipped(stands_still):
    def measure() -> None:
        raise DisturbedError("a cycle was left out")

    stands_still(0.0)
    with pytest.raises(pytest.fail.Exception, match="a cycle was left out, and it stood still"):
        measure_undisturbed(measure, bool, SPARE_S)
    stands_still(2 * DISTURBING_S)
    with pytest.raises(pytest.skip.Exception, match="a cycle was left out, and it stood still"):
        measure_undisturbed(measure, bool, SPARE_S)
