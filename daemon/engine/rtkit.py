"""Real-time priority from rtkit, for users whom no limit permits it.

rtkit is a service on the system's D-Bus that desktops have; PipeWire asks it too. It is asked by
systemd's `busctl`, which spares a D-Bus library in the process. The desktop portal's interface
org.freedesktop.portal.Realtime would be no way round a refusal: it hands the request on to the same
rtkit, as the same user, for programs in a sandbox that do not see the system's bus.

What it makes real-time may not run for longer than it says (200 ms) without waiting for something,
or the kernel kills the process. So a little before, all threads that it made real-time become
normal, in a signal handler (rt/guard.c), and those that are likely to have done it stay so.
"""

import logging
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock, get_native_id

from stemd.daemon.engine._rt import lib

log = logging.getLogger(__name__)

SERVICE = "org.freedesktop.RealtimeKit1"
OBJECT = "/org/freedesktop/RealtimeKit1"

ANSWER_S = 2
"""How long rtkit may take to answer; the system may have to start it."""

SOFT_SHARE = 0.75
"""The share of the time that rtkit permits, after which a thread loses its priority."""


@dataclass(frozen=True)
class Terms:
    """What rtkit grants."""

    highest: int = 0
    """The highest real-time priority; 0: none at all."""
    longest_us: int = 0
    """How long a thread may run without waiting."""


class RealtimeKit:
    """Requests priorities from rtkit, on threads of its own: rtkit may take long to answer.

    Parameters
    ----------
    start : callable
        Starts a thread that calls the function that it is given.
    """

    def __init__(self, start: Callable[[Callable[[], None]], None]) -> None:
        self.terms = Terms()
        """What rtkit grants: nothing until it has answered."""
        self._start = start
        self._lock = Lock()
        self._is_asking = Lock()
        self._asked: Future[Terms] | None = None
        self._wanted: dict[int, int] = {}
        """The priorities that rtkit has not answered yet, by thread."""

    @property
    def overruns(self) -> int:
        """How often threads lost their priority because one ran for too long."""
        return int(lib.rt_guard_overruns())

    @property
    def is_asked(self) -> bool:
        """Whether there are threads for which rtkit has not answered yet (any thread)."""
        return bool(self._wanted)

    def ask_terms(self) -> "Future[Terms]":
        """Request what rtkit grants; `terms` has it from then on (any thread).

        Requested once; if rtkit was not there, again each time: it may have started meanwhile.
        """
        with self._lock:
            if self._asked is None or (self._asked.done() and not self.terms.highest):
                asked = self._asked = Future()
                self._start(lambda: asked.set_result(self._learn_terms()))
            return self._asked

    def request(self, thread: int, priority: int) -> None:
        """Request a thread's priority, on another thread (any thread)."""
        with self._lock:
            self._wanted[thread] = priority
        self._start(lambda: self._make_realtime(thread))

    def grants(self) -> bool:
        """Whether rtkit grants the calling thread a priority, which is given back; waits for it."""
        thread = get_native_id()
        with self._lock:
            self._wanted[thread] = 1
        self._make_realtime(thread)
        has_priority = bool(os.sched_getparam(thread).sched_priority)
        _make_normal(thread)
        self.forget(thread)
        return has_priority

    def forget(self, thread: int) -> None:
        """Drop a thread that needs nothing from rtkit any more (any thread)."""
        with self._lock:
            self._wanted.pop(thread, None)
        lib.rt_guard_forget(thread)

    def keep_guard(self) -> None:
        """Set the soft limit again, so that the signal comes before the hard limit (any thread)."""
        if self.terms.highest:
            lib.rt_guard_limit(_soft_us(self.terms))

    def _learn_terms(self) -> Terms:
        answer = _busctl("get-property", "MaxRealtimePriority", "RTTimeUSecMax")
        values = [line.split()[-1] for line in answer.splitlines() if line.strip()]
        if len(values) == 2 and all(value.isdigit() for value in values):
            terms = Terms(*map(int, values))
            if lib.rt_guard(_soft_us(terms), terms.longest_us):
                self.terms = terms
        return self.terms

    def _make_realtime(self, thread: int) -> None:
        with self._is_asking:
            with self._lock:
                priority = self._wanted.get(thread, 0)
            if not priority:  # it was forgotten, or an earlier turn has done it
                return
            if priority <= self.terms.highest and lib.rt_guard_thread(thread):
                self.keep_guard()
                numbers = map(str, (os.getpid(), thread, priority))
                _busctl("call", "MakeThreadRealtimeWithPID", "ttu", *numbers)
            self._settle(thread, priority)

    def _settle(self, thread: int, priority: int) -> None:
        """Apply what changed while rtkit answered the request for this thread."""
        with self._lock:
            wanted = self._wanted.get(thread, 0)
            if wanted == priority:
                del self._wanted[thread]
        with suppress(OSError):  # it has ended
            if not wanted:
                _make_normal(thread)
            if os.sched_getparam(thread).sched_priority:
                lib.rt_guard_thread(thread)  # after an overrun none is guarded
                return
        lib.rt_guard_forget(thread)


def _soft_us(terms: Terms) -> int:
    return int(SOFT_SHARE * terms.longest_us)


def _make_normal(thread: int) -> None:
    """Take a thread's priority; `OSError` if it has ended."""
    flags = os.SCHED_OTHER | os.SCHED_RESET_ON_FORK
    os.sched_setscheduler(thread, flags, os.sched_param(0))


def _busctl(verb: str, *arguments: str) -> str:
    """Call rtkit through busctl; return its answer, empty if there is none."""
    command = ["busctl", "--system", f"--timeout={ANSWER_S}", verb]
    try:
        done = subprocess.run(
            [*command, SERVICE, OBJECT, SERVICE, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * ANSWER_S,
            start_new_session=True,  # Ctrl-C is for us
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.debug("rtkit cannot be asked: %s", error)
        return ""
    if done.returncode:
        log.debug("rtkit refused %s: %s", " ".join(arguments), done.stderr.strip())
        return ""
    return done.stdout
