"""A lock file, which only one process at a time can lock, beside the file that it protects."""

import fcntl
import os
from pathlib import Path


def lock_beside(path: Path) -> int:
    """Make and lock ``PATH.lock``; return its descriptor, which holds the lock until it is closed.

    The kernel frees the lock of a process that ends. The file stays: without it, two processes
    could hold the lock at the same time.

    Raises
    ------
    BlockingIOError
        Another process holds the lock.
    OSError
        The file cannot be made, or its file system has no locks.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(path.with_name(f"{path.name}.lock"), flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock
