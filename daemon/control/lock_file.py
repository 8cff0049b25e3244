"""A file that one process at a time may lock, beside what belongs to it alone."""

import fcntl
import os
from pathlib import Path


def lock_beside(path: Path) -> int:
    """Lock ``PATH.lock``, which is made; return the descriptor, which holds the lock until closed.

    The kernel frees the lock of a process that ends. The file stays, for removing it would let two
    processes hold the lock at once.

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
