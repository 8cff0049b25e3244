"""Measuring on a machine that stands still now and then, as virtual and busy ones do."""

import subprocess
import sys
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

ATTEMPTS = 20
"""How often a measurement is made anew because the machine stood still during it."""

TELLING = 4
"""A standstill of more than so many times what is spare explains any lateness."""

DISTURBING_S = 0.02
"""A standstill that servers do not bear without leaving out a cycle."""

PULSE_S = 0.002


class DisturbedError(Exception):
    """What was measured says nothing of the daemon."""


PULSE = """
import os, select, sys, threading, time

pause_s, priority = float(sys.argv[1]), int(sys.argv[2])
longest = []

def beat(cpu, together):
    os.sched_setaffinity(0, {cpu})
    if priority:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        except PermissionError:
            pass
    together.wait()
    most, before, ended = 0.0, time.monotonic(), False
    together.wait()
    while not ended:
        ended = bool(select.select([sys.stdin], [], [], pause_s)[0])
        now = time.monotonic()
        most, before = max(most, now - before - pause_s), now
    longest.append(most)

cpus = os.sched_getaffinity(0)
together = threading.Barrier(len(cpus) + 1)
threads = [threading.Thread(target=beat, args=(cpu, together)) for cpu in cpus]
for thread in threads:
    thread.start()
together.wait()
together.wait()  # all have looked at the clock
print(flush=True)
for thread in threads:
    thread.join()
print(max(longest))
"""


class Pulse:
    """A process that does next to nothing on each processor, and how long it was kept from that.

    A thread would be kept by a daemon in this process that holds the interpreter, too.

    Parameters
    ----------
    priority : int
        Real-time priority, where it may have one. What is measured in a process of its own, whose
        threads have it, has no excuse in what keeps only others; 0 where such others are in the
        same process, and may hold the interpreter.
    """

    def __init__(self, priority: int = 0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", PULSE, str(PULSE_S), str(priority)],
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
    measure: Callable[[], T], is_late: Callable[[T], object], spare_s: float, priority: int = 0
) -> T:
    """Return what was measured; measure anew what was late while the machine stood still.

    It fails where most is late though the machine stood still for hardly longer than it may. The
    test is skipped, with the reason, where the machine lets nothing be measured.

    Parameters
    ----------
    measure : function
        It may raise `DisturbedError` itself.
    is_late : function
        Whether what was measured is late at all.
    spare_s : float
        For how long the machine may stand still without making anything late.
    priority : int
        See `Pulse`.
    """
    reasons: list[str] = []
    late = in_time = 0
    is_excused = True
    for _ in range(ATTEMPTS):
        pulse, disturbed = Pulse(priority), ""
        try:
            result = measure()
        except DisturbedError as reason:
            disturbed = str(reason)
        finally:
            longest_s = pulse.stop()
        if disturbed:
            is_excused &= longest_s > DISTURBING_S
            reasons.append(f"{disturbed}, and it stood still for {1000 * longest_s:.0f} ms")
        elif not is_late(result):
            in_time += 1
            if in_time >= late:
                return result
            reasons.append("in time")
        elif longest_s <= spare_s:
            return result
        else:
            is_telling = longest_s <= TELLING * spare_s
            late += is_telling
            is_excused &= not is_telling
            reasons.append(f"late, and it stood still for {1000 * longest_s:.0f} ms")
    said = f"nothing can be measured on this machine: {'; '.join(reasons)}"
    if is_excused:
        pytest.skip(said)
    pytest.fail(said)
