"""Removes shared memory of JACK2 that a killed server or client has left locked.

Each attempt to open a client without a server creates these files again. They are removed before
the first attempt only: before a later one, a server might be starting that uses them.
"""

import fcntl
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

REGION = "__db.001"
"""The file of Berkeley DB that holds the locks."""


def metadata_folder() -> Path:
    """Return the folder of JACK2's metadata for all servers and clients of this user."""
    return Path(f"/dev/shm/jack_db-{os.getuid()}")  # noqa: S108 # JACK2 fixes it


def remove_dead_metadata(folder: Path | None = None) -> None:
    """Remove JACK2's database of metadata if no process has it open, as a server that ends does.

    Its locks outlive their holders: after a server or client was killed while it held one, every
    program that opens a client waits for ever, with any server. A database that no process has open
    is of no use.

    Parameters
    ----------
    folder : Path, optional
        By default the folder of this user.
    """
    folder = folder or metadata_folder()
    with ExitStack() as held:
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            held.callback(os.close, descriptor)
            with os.scandir(descriptor) as entries:
                names = [entry.name for entry in entries]
            if os.fstat(descriptor).st_uid != os.getuid() or REGION not in names:
                return  # another user's, or no database
            for name in names:
                held.enter_context(_alone_with(name, descriptor))
            # The locks last: while they exist, the next attempt looks for the rest again.
            for name in sorted(names, key=REGION.__eq__):
                os.unlink(name, dir_fd=descriptor)
        except OSError as reason:  # it does not exist, or is in use
            log.debug("did not remove %s: %s", folder, reason)
            return
    log.debug("removed the metadata in %s, which no process has open", folder)


@contextmanager
def _alone_with(name: str, descriptor: int) -> Iterator[None]:
    """Hold a file that no other process has open or mapped; raise BlockingIOError otherwise.

    The kernel grants a lease on exactly that condition, until the file is closed.
    """
    file = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=descriptor)
    try:
        # An attempt to open it meanwhile makes the kernel send a signal; SIGIO would end stemd.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(file)
