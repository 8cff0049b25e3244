"""Checks of /proc and of real-time rights, for `stemd doctor`."""

import resource
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from stemd.daemon.engine.rights import remedy_for_limits, why_none_permitted, why_rtkit_refuses
from stemd.daemon.engine.scheduling import LOWEST, may_have_priority, may_lock_memory, rtkit
from stemd.daemon.findings import Finding, bad, good, hint

PROC = Path("/proc/self")

KERNEL = Path("/proc/sys/kernel")

MAY_DROP_OUT = "under load, audio may drop out"

ENOUGH_RUNTIME = 0.9
"""The share of the time that real-time threads should be allowed to run; Linux's default is
0.95."""


def check_proc() -> Iterator[Finding]:
    """Yield a finding if /proc is missing, without which nothing else can be checked."""
    if not PROC.exists():
        yield bad(
            "system",
            f"there is no {PROC.parent}, in which stemd looks for servers and rights",
            "mount it: sudo mount -t proc proc /proc",
        )


def is_granted(priority: int) -> bool:
    """Whether stemd can have a real-time priority, by its own rights or by rtkit."""
    return may_have_priority(priority) or rtkit.ask_terms().result().highest >= priority


def check_rights() -> Iterator[Finding]:
    """Yield what the system permits: real-time priority, its share of time, locked memory."""
    if may_have_priority(1):
        yield good("real time", "permitted")
    elif (highest := rtkit.ask_terms().result().highest) and rtkit.grants():
        yield good("real time", f"granted by rtkit, up to priority {highest}")
    else:
        reason, remedy = why_none_permitted()
        if highest:
            reason = f"{reason}, and {why_rtkit_refuses(LOWEST)}"
        yield hint("real time", f"not permitted: {reason}; {MAY_DROP_OUT}", remedy)
    yield from _throttling()
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if may_lock_memory():
        yield good("locked memory", "permitted")
    else:
        yield hint(
            "locked memory",
            f"not permitted: RLIMIT_MEMLOCK is {soft // 1024} kB; what is swapped out comes late",
            remedy_for_limits(memory=True),
        )


def _throttling() -> Iterator[Finding]:
    """Yield a hint if the kernel lets real-time threads run for less than nearly all the time."""
    with suppress(OSError, ValueError):
        runtime, period = (
            int((KERNEL / f"sched_rt_{name}_us").read_text()) for name in ("runtime", "period")
        )
        if 0 <= runtime < ENOUGH_RUNTIME * period:
            yield hint(
                "real-time throttling",
                f"the kernel stops real-time threads after {runtime / period:.0%} of the time",
                "audio may drop out under load: sudo sysctl kernel.sched_rt_runtime_us="
                f"{int(0.95 * period)}",
            )


def judge_grants(missing: Collection[str], found: str, remedy: str) -> Finding:
    """Judge what the system has granted to a running daemon; see `rights.Rights`."""
    return (hint if missing else good)("daemon's priority", found, remedy)
