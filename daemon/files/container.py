"""What a container leaves to this process: limits of control groups, versions 1 and 2."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Where the control groups are, and which of them this process is in."""

ALL = ""
"""In place of a controller's name: the groups of version 2, which have every controller."""

UNLIMITED = 2**62
"""Version 1 has a limit of at least so many bytes where there is none."""


class _MemoryFiles(NamedTuple):
    """What a version calls its files, and the memory in ``memory.stat`` that can be freed."""

    controller: str
    limit: str
    used: str
    freed: str


_MEMORY_FILES = (
    _MemoryFiles(ALL, "memory.max", "memory.current", "inactive_file"),
    _MemoryFiles("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def cores_left() -> float | None:
    """Return how many cores this process may use by its quota; None without one."""
    return min(chain(_quotas(), _quotas_of_version_1()), default=None)


def bytes_left() -> int | None:
    """Return how much memory this process may have in addition; None without a limit.

    The kernel frees what programs have read from files and do not use.
    """
    return min(chain.from_iterable(map(_rooms, _MEMORY_FILES)), default=None)


def _quotas() -> Iterator[float]:
    for group in _groups(ALL):
        with suppress(OSError, ValueError):  # "max": without a quota
            quota, period = (group / "cpu.max").read_text().split()
            yield int(quota) / int(period)


def _quotas_of_version_1() -> Iterator[float]:
    for group in _groups("cpu"):
        with suppress(OSError, ValueError):
            quota = int((group / "cpu.cfs_quota_us").read_text())
            if quota > 0:  # -1: without a quota
                yield quota / int((group / "cpu.cfs_period_us").read_text())


def _rooms(files: _MemoryFiles) -> Iterator[int]:
    for group in _groups(files.controller):
        with suppress(OSError, ValueError, KeyError):  # "max": without a limit
            limit = int((group / files.limit).read_text())
            used = int((group / files.used).read_text())
            lines = (group / "memory.stat").read_text().splitlines()
            freed = int(dict(line.split() for line in lines)[files.freed])
            if limit < UNLIMITED:
                yield max(0, limit - used + freed)


def _groups(controller: str) -> Iterator[Path]:
    """Yield the group of this process, and those that it is in."""
    try:
        lines = OWN.read_text().splitlines()
    except OSError:
        return
    root = GROUPS / controller
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controller in controllers.split(","):
            own = root / group.removeprefix("/")
            yield from (each for each in (own, *own.parents) if each.is_relative_to(root))
