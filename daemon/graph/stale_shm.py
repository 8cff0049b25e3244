"""What JACK2 leaves behind where it is killed, and what then blocks all programs.

Without a server, each attempt to open a client makes these files again. They are removed before the
first attempt, not before each, so as not to come between a server that starts meanwhile and them.
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
"""The file of Berkeley DB's in which the locks lie."""


def metadata_folder() -> Path:
    """Return where JACK2 keeps the metadata of all this user's servers and clients."""
    return Path(f"/dev/shm/jack_db-{os.getuid()}")  # noqa: S108 # it is JACK2's choice


def remove_dead_metadata(folder: Path | None = None) -> None:
    """Remove JACK2's database of metadata if no process has it open, as an ending server does.

    Its locks outlive who holds them: after a server or a client that was killed with one in hand,
    every program that opens a client waits forever, on every server. Without one nothing is lost.

    Parameters
    ----------
    folder : Path, optional
        By default that of this user.
    """
    folder = folder or metadata_folder()
    with ExitStack() as held:
        try:
            place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            held.callback(os.close, place)
            with os.scandir(place) as entries:
                names = [entry.name for entry in entries]
            if os.fstat(place).st_uid != os.getuid() or REGION not in names:
                return  # another user's, or no database
            for name in names:
                held.enter_context(_alone_with(name, place))
            # The locks last: while they are there, the rest is looked for again.
            for name in sorted(names, key=REGION.__eq__):
                os.unlink(name, dir_fd=place)
        except OSError as reason:  # not there, or in use
            log.debug("left %s unchanged: %s", folder, reason)
            return
    log.debug("removed the metadata in %s, which no process has open", folder)


@contextmanager
def _alone_with(name: str, place: int) -> Iterator[None]:
    """Hold a file that no other process has open or mapped; else BlockingIOError.

    A lease is granted under just that condition, and lasts until the file is closed.
    """
    file = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
    try:
        # An open of it meanwhile makes the kernel send a signal, which would end stemd.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(file)
