"""A Unix socket that one process owns, from before it is made until after it is removed."""

import os
import socket
from contextlib import suppress
from pathlib import Path

from stemd.daemon.control.lock_file import lock_beside
from stemd.daemon.control.socket_paths import listens, problem_with
from stemd.daemon.errors import StemdError


class OwnedSocket:
    """Listens at a path, and owns it while it holds the lock on a file beside it.

    If several processes want the same path, one gets it. A process that ends removes only its own
    socket. The socket of a killed process is replaced, because the kernel frees its lock.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    path : Path
    socket : socket.socket
        Listens; only its owner and root may connect.

    Raises
    ------
    StemdError
        Another process has the path, or the socket cannot be made, or others could replace it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._lock = -1
        try:
            _make_private(path.parent)
            if problem := problem_with(path.parent):
                raise OSError(problem)
            self._lock = _locked(path)
            _remove_stale(path)
            os.fchmod(self.socket.fileno(), 0o600)  # and so the file, from its first moment
            self._listen_at(path)
        except OSError as error:
            self.socket.close()
            self._unlock()
            raise _refusal(path, error) from None

    def _listen_at(self, path: Path) -> None:
        """Make the file elsewhere first: at its path a client must find that it listens."""
        unready = path.with_name(f"{path.name}~")
        _remove_stale(unready)
        self.socket.bind(str(unready))
        try:
            self.socket.listen()
            self._file = _identity(unready)
            path.hardlink_to(unready)  # unlike renaming, it replaces nothing
        finally:
            unready.unlink()

    def move(self, path: Path) -> None:
        """Listen at another path from now on; connections stay.

        Raises
        ------
        StemdError
            Another process has that path, or it cannot be made; nothing has changed.
        """
        lock = -1
        try:
            lock = _locked(path)
            _remove_stale(path)
            if _identity(self.path) != self._file:
                raise OSError(f"{self.path} belongs to another program now")
            path.hardlink_to(self.path)  # unlike renaming, it replaces nothing
            self.path.unlink()
        except OSError as error:
            if lock >= 0:
                os.close(lock)
            raise _refusal(path, error) from None
        self._unlock()
        self.path, self._lock = path, lock

    def give_up(self) -> None:
        """Remove the file, so that the next process can use the path; connections stay."""
        if self._lock < 0:
            return
        with suppress(OSError):
            if _identity(self.path) == self._file:
                self.path.unlink()
        self._unlock()

    def close(self) -> None:
        """Stop listening."""
        self.give_up()
        self.socket.close()

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _refusal(path: Path, error: OSError) -> StemdError:
    return StemdError(
        f"cannot make the control socket {path}: {error.strerror or error}; choose another "
        "place (control.socket), or none (control.socket: off)"
    )


def _make_private(folder: Path) -> None:
    """Make a folder, and missing folders above it, for their owner only."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        with suppress(FileExistsError):  # another process made it meanwhile
            each.mkdir(mode=0o700)


def _locked(path: Path) -> int:
    """Return a descriptor that holds the path's lock; OSError if another process does."""
    try:
        return lock_beside(path)
    except BlockingIOError:
        raise OSError("another stemd listens there") from None


def _remove_stale(path: Path) -> None:
    """Remove a socket at which no program listens; keep a file that is no socket."""
    if not path.is_socket():
        return
    if listens(path):  # one that takes no locks
        raise OSError("another program listens there")
    path.unlink()


def _identity(path: Path) -> tuple[int, int]:
    info = path.lstat()
    return info.st_dev, info.st_ino
