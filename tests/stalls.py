"""Measuring on a machine that stands still now and then, as virtual and busy ones do."""

from collections.abc import Callable
from threading import Event, Thread
from time import monotonic
from typing import TypeVar

import pytest

T = TypeVar("T")

ATTEMPTS = 20
"""How often a measurement is made anew because the machine stood still during it."""

PULSE_S = 0.002


class DisturbedError(Exception):
    """What was measured says nothing of the daemon."""


class Pulse:
    """A thread that does next to nothing, and how long it was kept from that."""

    def __init__(self) -> None:
        self._longest_s = 0.0
        self._end = Event()
        self._thread = Thread(target=self._run)
        self._thread.start()

    def stop(self) -> float:
        """Return the longest time, in seconds, that it was kept waiting."""
        self._end.set()
        self._thread.join()
        return self._longest_s

    def _run(self) -> None:
        before = monotonic()
        while not self._end.wait(PULSE_S):
            now = monotonic()
            self._longest_s = max(self._longest_s, now - before - PULSE_S)
            before = now


def measure_undisturbed(
    measure: Callable[[], T], is_late: Callable[[T], object], spare_s: float
) -> T:
    """Return what was measured; measure anew what was late while the machine stood still.

    Parameters
    ----------
    measure : function
        It may raise `DisturbedError` itself.
    is_late : function
        Whether what was measured is late at all.
    spare_s : float
        For how long the machine may stand still without making anything late.
    """
    reasons = []
    for _ in range(ATTEMPTS):
        pulse = Pulse()
        try:
            result = measure()
        except DisturbedError as reason:
            reasons.append(str(reason))
            continue
        finally:
            longest_s = pulse.stop()
        if longest_s <= spare_s or not is_late(result):
            return result
        reasons.append(f"it stood still for {1000 * longest_s:.0f} ms")
    pytest.fail(f"nothing can be measured on this machine: {'; '.join(reasons)}")
