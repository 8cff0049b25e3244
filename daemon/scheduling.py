"""Real-time priority and locked memory: asked for, told about, never required."""

import ctypes
import gc
import logging
import os
import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from threading import current_thread, main_thread
from threading import enumerate as running_threads

log = logging.getLogger(__name__)

NORMAL = 0
"""The priority of a thread that has no real-time scheduling."""

ENGINE_BELOW, STEERING_BELOW, WORKERS_BELOW = 5, 7, 10
"""How far below the server's real-time thread stemd's own stand."""

STEERING = ("stemd-control", "stemd-osc", "stemd-metrics", "stemd-nsm")
"""Threads besides the main one that have the interpreter now and then: one that another program
interrupts meanwhile keeps it from the engine (priority inversion)."""

SWITCH_S = 0.0005
"""How long a thread of Python may keep the interpreter from another; usually 5 ms, which is half of
the time that the engine has."""

STOP_S = 2.0
"""How long a thread may take to end before it is left behind."""

_memory_is_locked = Flag()
"""Set once all of it is, by us; libjack locks what it needs itself."""

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4  # of sys/mman.h


@dataclass(frozen=True)
class Priorities:
    """Of SCHED_FIFO, for the threads that make the music, and those that steer; or `NORMAL`."""

    engine: int = NORMAL
    steering: int = NORMAL
    workers: int = NORMAL


def priorities_below(server: int) -> Priorities:
    """Choose priorities for a server whose real-time thread has this one.

    Parameters
    ----------
    server : int
        0 where the server's thread has no real-time scheduling.
    """
    if server == NORMAL:
        log.info("the server plays without real-time priority, and so does stemd")
        return Priorities()
    wanted = wanted_below(server)
    if may_have_priority(wanted.engine):
        return wanted
    limit, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    highest = wanted_below(limit + ENGINE_BELOW)
    granted = highest if limit and may_have_priority(highest.engine) else Priorities()
    log.warning(
        "real-time priority %d is wanted, the limit is %d: under load the music may break up "
        "(raise RLIMIT_RTPRIO: join the group audio, or LimitRTPRIO= in the unit)",
        wanted.engine,
        limit,
    )
    return granted


def wanted_below(server: int) -> Priorities:
    """Tell what stands below a server's real-time thread, and all others below the engine too.

    A worker beside the engine would keep it from the processor for as long as a network takes; and
    above those that steer it would keep the interpreter from the engine through them.
    """
    lowest = os.sched_get_priority_min(os.SCHED_FIFO)
    others = (server - below for below in (STEERING_BELOW, WORKERS_BELOW))
    return Priorities(
        max(server - ENGINE_BELOW, lowest),
        *(priority if priority >= lowest else NORMAL for priority in others),
    )


def may_have_priority(priority: int) -> bool:
    """Try it on the calling thread, and take it back.

    With SCHED_RESET_ON_FORK only where it is set: an ordinary user cannot take it back.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    flag = policy & os.SCHED_RESET_ON_FORK
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | flag, os.sched_param(priority))
    except PermissionError:
        return False
    os.sched_setscheduler(0, policy, parameters)
    return True


def set_priority(priority: int, thread: int = 0) -> bool:
    """Schedule a thread so, the calling one or that of a number; tell whether it was permitted."""
    policy = os.SCHED_FIFO if priority else os.SCHED_OTHER
    try:
        os.sched_setscheduler(thread, policy | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except PermissionError:
        return False
    return True


def set_steering_priority(priority: int) -> None:
    """Schedule so the main thread and those of `STEERING` that run (any thread)."""
    for thread in running_threads():
        if (thread is main_thread() or thread.name in STEERING) and thread.native_id:
            with suppress(ProcessLookupError):  # it ended meanwhile
                set_priority(priority, thread.native_id)


def show_name() -> None:
    """Have the system call the calling thread as Python does, for ``top -H`` and the like."""
    with suppress(OSError):
        Path("/proc/thread-self/comm").write_text(current_thread().name)


def hurry_interpreter() -> None:
    """Let the engine have the interpreter soon, whatever other threads of Python do."""
    sys.setswitchinterval(SWITCH_S)


def settle_memory() -> None:
    """Keep what is in memory there, and let the garbage collector leave it alone.

    What was needed only to start is given back to the system first. Locked is what is touched,
    now and later; without a limit, or not at all, for beyond a limit every allocation would fail.
    """
    give_back_memory()
    gc.freeze()
    if may_lock_memory():
        _lock_memory()
    else:
        log.info(
            "memory is not locked: the limit is %d kB (unlimited is wanted: LimitMEMLOCK=infinity)",
            resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] // 1024,
        )


def may_lock_memory() -> bool:
    """Tell whether all memory may be locked; what may not grow beyond a limit is of no use."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return soft == resource.RLIM_INFINITY or os.geteuid() == 0


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
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT):
        log.info("memory is not locked: %s", os.strerror(ctypes.get_errno()))
    else:
        _memory_is_locked.set()
