"""Measuring on a machine that stands still now and then, as virtual and busy ones do."""

import subprocess
import sys
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

ATTEMPTS = 20
"""How often a measurement is made anew because the machine stood still during it."""

PULSE_S = 0.002


class DisturbedError(Exception):
    """What was measured says nothing of the daemon."""


PULSE = f"""
import select, sys, time
longest, before = 0.0, time.monotonic()
print(flush=True)
ended = False
while not ended:
    ended = bool(select.select([sys.stdin], [], [], {PULSE_S})[0])
    now = time.monotonic()
    longest, before = max(longest, now - before - {PULSE_S}), now
print(longest)
"""


class Pulse:
    """A process that does next to nothing, and how long it was kept from that.

    A thread would be kept by a daemon in this process that holds the interpreter, too.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", PULSE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        self._process.stdout.readline()

    def stop(self) -> float:
        """Return the longest time, in seconds, that it was kept waiting."""
        out, _ = self._process.communicate()
        return float(out)


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
