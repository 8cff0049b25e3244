"""What a container leaves to this process: limits of control groups, version 2."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Where the control groups are, and which of them this process is in."""


def cores_left() -> float | None:
    """Return how many cores this process may use by its quota; None without one."""
    return min(_quotas(), default=None)


def bytes_left() -> int | None:
    """Return how much memory this process may have in addition; None without a limit.

    The kernel frees what programs have read from files and do not use.
    """
    return min(_rooms(), default=None)


def _quotas() -> Iterator[float]:
    for group in _groups():
        with suppress(OSError, ValueError):  # "max": without a quota
            quota, period = (group / "cpu.max").read_text().split()
            yield int(quota) / int(period)


def _rooms() -> Iterator[int]:
    for group in _groups():
        with suppress(OSError, ValueError, KeyError):
            limit = int((group / "memory.max").read_text())
            used = int((group / "memory.current").read_text())
            lines = (group / "memory.stat").read_text().splitlines()
            freed = int(dict(line.split() for line in lines)["inactive_file"])
            yield max(0, limit - used + freed)


def _groups() -> Iterator[Path]:
    """Yield the group of this process, and those that it is in."""
    try:
        lines = OWN.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        if line.startswith("0::/"):
            own = GROUPS / line.removeprefix("0::/")
            yield from (group for group in (own, *own.parents) if group.is_relative_to(GROUPS))
