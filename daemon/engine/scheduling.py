"""Real-time priority and locked memory: requested, never required; `rights` reports the grants."""

import ctypes
import gc
import os
import resource
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Event, Lock, Thread, current_thread, get_native_id, main_thread
from typing import Any
from weakref import WeakSet

from stemd.daemon.engine.rtkit import RealtimeKit

NORMAL = 0
"""The priority of a thread that has no real-time scheduling."""

LOWEST, HIGHEST = 1, 99
"""Of SCHED_FIFO; see sched(7)."""

ROOM = 10
"""How many priority levels below the server's thread stemd uses, if there are that many."""

ENGINE_BELOW, STEERING_BELOW, WORKERS_BELOW = 5, 7, ROOM
"""How far below the server's real-time thread the threads of each role are then."""

REAL_TIME = (os.SCHED_FIFO, os.SCHED_RR)

SWITCH_S = 0.0005
"""How long a thread of Python may keep the interpreter from another; usually 5 ms, which is half of
the time that the engine has."""

STOP_S = 2.0
"""How long stemd waits for a thread to end before it goes on without it."""

REST_S = 0.25
"""The longest wait for an engine's rest: while the server does not call, the engine never works."""

_engine_rests = Event()

_memory_is_locked = Event()
"""Set once stemd has locked all of its memory; libjack locks its own parts itself."""

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4  # of sys/mman.h
ENOUGH_TO_LOCK = 4 << 30
"""Bytes of RLIMIT_MEMLOCK: what PipeWire's own limits give, and four times what stemd maps."""

CAP_IPC_LOCK, CAP_SYS_NICE = 14, 23  # of linux/capability.h


class Role(StrEnum):
    """What a thread is for, which decides its priority."""

    ENGINE = "engine"
    """Makes the output that the server waits for."""
    STEERING = "steering"
    """Holds the interpreter now and then: while another program interrupts it, the engine waits for
    the interpreter (priority inversion)."""
    NETWORKS = "networks"
    """Computes most of the time, outside the interpreter."""


RETRY_S, LONGEST_RETRY_S = 21.0, 300.0
"""The pause before refused priorities are requested again. It doubles each time, up to the longest:
rtkit grants one user 25 requests in 20 s, and none for 300 s after the machine has starved."""

LOOK_S = 1.0
"""Seconds between two checks for refused priorities."""

PATIENCE = {Role.ENGINE: 2, Role.STEERING: 1, Role.NETWORKS: 0}
"""How often threads may run for longer than rtkit permits before a role requests no priority any
more. The role that computes longest is the first to give up."""


@dataclass(frozen=True)
class Priorities:
    """The SCHED_FIFO priority of each role's threads, or `NORMAL`."""

    engine: int = NORMAL
    steering: int = NORMAL
    workers: int = NORMAL

    def of(self, role: Role) -> int:
        """Return the priority of a role's threads."""
        return {
            Role.ENGINE: self.engine,
            Role.STEERING: self.steering,
            Role.NETWORKS: self.workers,
        }[role]


def wanted_below(server: int) -> Priorities:
    """Return the priorities that stemd wants below a server's real-time thread.

    A worker beside the engine would keep it from the processor for as long as a network takes; and
    one above the threads that steer would keep the interpreter from the engine through them. So the
    order engine, steering, workers is kept, at distances that shrink where there is little room;
    roles for which no level is left have normal scheduling.

    Parameters
    ----------
    server : int
        0 where the server's thread has no real-time scheduling: above it nothing may run.
    """
    if server <= LOWEST:
        return Priorities(engine=server)  # beside the server: below it there is nothing
    room = min(server - LOWEST, ROOM)
    below_engine = max(room * ENGINE_BELOW // ROOM, 1)
    below_steering = max(min(-(-room * STEERING_BELOW // ROOM), room - 1), below_engine + 1)
    if room < below_steering:
        return Priorities(engine=server - below_engine)
    return Priorities(server - below_engine, server - below_steering, server - room)


def priorities_below(server: int) -> Priorities:
    """Return the priorities below a server's thread that the system permits, in the same order.

    Where no limit permits them rtkit is asked, which may take a while: see `permits_change`.
    """
    wanted = wanted_below(server)
    highest = highest_permitted(wanted.engine)
    if highest >= wanted.engine:
        return wanted
    fitting = (wanted_below(below) for below in range(server, NORMAL, -1))
    return next((each for each in fitting if each.engine <= highest), Priorities())


def highest_permitted(wanted: int) -> int:
    """Return the highest priority up to the wanted one that a thread may have; `NORMAL`: none."""
    by_kernel = highest_by_limits(wanted)
    if wanted and not by_kernel:
        rtkit.ask_terms()
    return by_kernel or min(wanted, rtkit.terms.highest)


def highest_by_limits(wanted: int) -> int:
    """Return the highest priority up to the wanted one that the kernel permits; `NORMAL`: none."""
    for priority in (wanted, min(rtprio_limit(), wanted)):
        if priority > NORMAL and may_have_priority(priority):
            return priority
    return NORMAL


def rtprio_limit() -> int:
    """Return the highest real-time priority that RLIMIT_RTPRIO permits."""
    soft, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    return HIGHEST if soft == resource.RLIM_INFINITY else soft


def permitted_by_rtkit() -> int:
    """Return the highest priority that rtkit grants, as far as it was asked and has answered."""
    return rtkit.terms.highest


def is_rtkit_asked() -> bool:
    """Whether rtkit has yet to answer for a thread (any thread)."""
    return rtkit.is_asked


def overran_rtkit() -> bool:
    """Whether a thread has run for longer than rtkit permits (any thread)."""
    return rtkit.overruns > 0


def keep_scheduled(now: float) -> bool:
    """Reschedule threads that ran for too long, and those that were refused (main thread).

    Parameters
    ----------
    now : float
        Seconds of a monotonic clock.

    Returns
    -------
    bool
        Whether any ran for too long: the networks then lose their priority; the next time, the
        threads that steer lose theirs.
    """
    rtkit.keep_guard()
    if rtkit.overruns == _steering.overruns:
        if _retry.is_due(now):
            _schedule_again(is_refused)
        return False
    _steering.overruns = rtkit.overruns
    _schedule_again(_is_any)
    return True


def is_refused(wanted: int, thread: int) -> bool:
    """Whether a thread has a lower priority than the one it was to have (any thread)."""
    try:
        return priority_of(thread) < wanted
    except ProcessLookupError:  # it has ended
        return False


def may_have_priority(priority: int) -> bool:
    """Whether the calling thread may have a priority; try it and undo it.

    With SCHED_RESET_ON_FORK only where it is set: an ordinary user cannot take it back.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    flag = policy & os.SCHED_RESET_ON_FORK
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | flag, os.sched_param(priority))
    except OSError:
        return False
    os.sched_setscheduler(0, policy, parameters)
    return True


def set_priority(priority: int, thread: int = 0) -> bool:
    """Schedule the calling thread, or the one of a number; return whether the kernel allows it."""
    policy = os.SCHED_FIFO if priority else os.SCHED_OTHER
    try:
        os.sched_setscheduler(thread, policy | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError:
        return False
    return True


def schedule(role: Role, priority: int, thread: int) -> None:
    """Schedule a role's thread, with rtkit's help where the kernel refuses (any thread)."""
    if set_priority(priority, thread):
        rtkit.forget(thread)
    elif rtkit.overruns <= PATIENCE[role]:
        rtkit.request(thread, priority)


def priority_of(thread: int) -> int:
    """Return the real-time priority that the kernel has for a thread.

    Raises
    ------
    ProcessLookupError
        It has ended.
    """
    policy = os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK
    return os.sched_getparam(thread).sched_priority if policy in REAL_TIME else NORMAL


class RoleThread(Thread):
    """A daemon thread with a name for ``top -H``, and the priority of its role.

    Parameters
    ----------
    role : Role
    target, name, args
        As of `threading.Thread`.
    priority : callable
        Asked for the priority wanted: when the thread starts, and at each `reschedule`.
    is_long : bool
        It may run for longer than rtkit permits, so that is not asked.

    Attributes
    ----------
    role : Role
    wanted : int
        The priority that was asked for last.
    """

    def __init__(
        self,
        role: Role,
        target: Callable[..., Any],
        name: str,
        priority: Callable[[], int],
        args: tuple[Any, ...] = (),
        is_long: bool = False,
    ) -> None:
        super().__init__(target=target, name=name, args=args, daemon=True)
        self.is_long = is_long
        self.role = role
        self.wanted = NORMAL
        self._priority = priority
        self._scheduling = Lock()

    def run(self) -> None:
        """Set the thread's name and priority, then do the work."""
        show_name()
        self.reschedule()
        try:
            super().run()
        finally:
            rtkit.forget(get_native_id())  # the system may give the number to another thread

    def reschedule(self, force: bool = False) -> None:
        """Set the priority that is wanted now, if it changed or with ``force`` (any thread).

        It is asked for under a lock: of several that change it, the last one counts.
        """
        with self._scheduling:
            if not (self.native_id and self.is_alive()):
                return
            before, self.wanted = self.wanted, self._priority()
            if self.wanted == before and not force:
                return
            if self.is_long:
                set_priority(self.wanted, self.native_id)
            else:
                schedule(self.role, self.wanted, self.native_id)


class _Steering:
    """The priority of the threads that steer, the main thread among them."""

    def __init__(self) -> None:
        self.priority = NORMAL
        self.overruns = 0
        """How many of rtkit's overruns were handled."""
        self.others: WeakSet[Thread] = WeakSet()
        """Threads that libraries have made."""


_steering = _Steering()


def _role_threads() -> list[RoleThread]:
    """Return the running threads with a role (any thread); others may start and end meanwhile."""
    return [thread for thread in threading.enumerate() if isinstance(thread, RoleThread)]


def _other_steering_threads() -> list[Thread]:
    """Return the main thread and those that libraries have made (any thread)."""
    running = threading.enumerate()
    return [each for each in running if each is main_thread() or each in _steering.others]


def steering_thread(
    target: Callable[..., Any], name: str, *args: Any, is_long: bool = False
) -> RoleThread:
    """Make a thread of the steering role, without starting it; ``is_long``: it does long work."""
    return RoleThread(Role.STEERING, target, name, lambda: _steering.priority, args, is_long)


def set_steering_priority(priority: int) -> None:
    """Set the priority of all threads that steer, also of those that start later (main thread)."""
    _steering.priority = priority
    for thread in _role_threads():
        if thread.role is Role.STEERING:
            thread.reschedule()
    _schedule_others(_is_any)


def _schedule_again(concerns: Callable[[int, int], bool]) -> None:
    """Ask again for the priorities of those threads for which ``concerns(wanted, thread)``."""
    for thread in _role_threads():
        if thread.native_id and not thread.is_long and concerns(thread.wanted, thread.native_id):
            thread.reschedule(force=True)
    _schedule_others(concerns)


def _is_any(*_: int) -> bool:
    return True


def _schedule_others(concerns: Callable[[int, int], bool]) -> None:
    wanted = _steering.priority
    for other in _other_steering_threads():
        if other.native_id and other.is_alive() and concerns(wanted, other.native_id):
            schedule(Role.STEERING, wanted, other.native_id)


class _Retry:
    """Decides when refused priorities are requested again (main thread)."""

    def __init__(self) -> None:
        self._look_at = 0.0
        self._since: float | None = None
        self._pause_s = RETRY_S

    def is_due(self, now: float) -> bool:
        """Whether priorities have been refused for long enough; the pause doubles each time."""
        if now < self._look_at or not rtkit.terms.highest or rtkit.is_asked:
            return False
        self._look_at = now + LOOK_S
        if not any(actual < wanted for role in Role for wanted, actual in scheduled(role)):
            self._since, self._pause_s = None, RETRY_S
        elif self._since is None:
            self._since = now
        elif now - self._since >= self._pause_s:
            self._since, self._pause_s = now, min(2 * self._pause_s, LONGEST_RETRY_S)
            return True
        return False


_retry = _Retry()


def have_steering_priority() -> None:
    """Schedule the calling thread, which a library has made, as one that steers."""
    show_name()
    _steering.others.add(current_thread())
    schedule(Role.STEERING, _steering.priority, get_native_id())


def scheduled(role: Role) -> list[tuple[int, int]]:
    """Return the wanted priority and the kernel's, for each running thread of a role.

    Threads for one piece of long work are left out. The kernel's value is correct, whether the
    system or rtkit granted the priority.
    """
    wanted: dict[Thread, int] = {
        thread: thread.wanted
        for thread in _role_threads()
        if thread.role is role and not thread.is_long
    }
    if role is Role.STEERING:
        wanted |= dict.fromkeys(_other_steering_threads(), _steering.priority)
    found = []
    for thread, priority in wanted.items():
        if thread.native_id and thread.is_alive():
            with suppress(ProcessLookupError):  # it ended meanwhile
                found.append((priority, priority_of(thread.native_id)))
    return found


def engine_rests() -> None:
    """Note that an engine has just made output, and rests (engine thread)."""
    _engine_rests.set()


def wait_for_rest() -> None:
    """Wait until an engine has just made output, in time (any thread).

    Then it does not need the interpreter for the longest time that there is: until a whole hop and
    what is played ahead have been heard. Call this before native code that holds the interpreter
    for long, such as the preparation of a network.
    """
    if any(thread.role is Role.ENGINE and thread.is_alive() for thread in _role_threads()):
        for _ in range(2):  # the first may be late, after the last such code
            _engine_rests.clear()
            _engine_rests.wait(REST_S)


def show_name() -> None:
    """Give the calling thread its Python name in the system, for ``top -H`` and the like."""
    with suppress(OSError):
        Path("/proc/thread-self/comm").write_text(current_thread().name)


rtkit = RealtimeKit(lambda job: steering_thread(job, "stemd-rtkit", is_long=True).start())
"""Grants priorities that the kernel refuses."""


def hurry_interpreter() -> None:
    """Shorten the time that other Python threads may keep the interpreter from the engine."""
    sys.setswitchinterval(SWITCH_S)


def settle_memory() -> None:
    """Lock the memory of this process, and exclude its objects from garbage collection.

    Memory that only the start needed is returned to the system first. Pages are locked when they
    are first used; see `may_lock_memory`.
    """
    give_back_memory()
    gc.freeze()
    if may_lock_memory():
        _lock_memory()


def memory_is_locked() -> bool:
    """Whether all memory of this process is locked (any thread)."""
    return _memory_is_locked.is_set()


def may_lock_memory() -> bool:
    """Whether all memory may be locked, with room to grow: beyond a limit allocations fail."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return soft == resource.RLIM_INFINITY or soft >= ENOUGH_TO_LOCK or has_capability(CAP_IPC_LOCK)


def has_capability(number: int) -> bool:
    """Whether this process has one of capabilities(7): root in a container may lack some."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> number & 1)
    return os.geteuid() == 0


def give_back_memory() -> None:
    """Free what nothing refers to any more, and return it to the system."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if _memory_is_locked.is_set():
        libc.munlockall()  # what is locked cannot be returned
    with suppress(AttributeError):  # only the GNU C library has it, and needs it
        libc.malloc_trim(0)
    if _memory_is_locked.is_set():
        _lock_memory()


def _lock_memory() -> None:
    if ctypes.CDLL(None).mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT):
        _memory_is_locked.clear()
    else:
        _memory_is_locked.set()
