"""What is measured anew, and what is not."""

import os
import signal
from time import monotonic

import pytest

from stalls import ATTEMPTS, DisturbedError, Pulse, measure_undisturbed


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


def test_what_is_late_most_of_the_time_fails_although_the_machine_stands_still():
    takes = iter([True, True, False] * ATTEMPTS)
    with pytest.raises(pytest.fail.Exception, match="late, and it stood still"):
        measure_undisturbed(lambda: next(takes), bool, spare_s=-1.0)


def test_what_is_late_now_and_then_while_the_machine_stands_still_passes():
    takes = iter([True, False, True, True, False, False])
    assert not measure_undisturbed(lambda: next(takes), bool, spare_s=-1.0)
    assert next(takes), "what was late at first is made good by one take"


def test_what_is_disturbed_is_measured_anew_and_fails_in_the_end():
    def measure() -> None:
        raise DisturbedError("a cycle was left out")

    with pytest.raises(pytest.fail.Exception, match="nothing can be measured"):
        measure_undisturbed(measure, bool, spare_s=0.0)
