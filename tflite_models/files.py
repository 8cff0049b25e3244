"""Files and folders: whole or not at all, one writer at a time, errors in plain words."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, BufferedWriter
from pathlib import Path
from secrets import token_hex

import platformdirs

from stemd.tflite_models.errors import ModelError

PART_PREFIX = ".part-"
"""Hidden files that are being written begin with it."""

PART = re.compile(rf"{re.escape(PART_PREFIX)}.*-[0-9a-f]{{16}}", re.DOTALL)
"""The names that `part_of` gives."""

SHOWN_OF_A_NAME = 32
"""Characters of a file's name that stand in its part's name, which may be 255 bytes long."""

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}

PRIVATE = 0o600
"""Permissions of a file for its owner alone."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def user_data_folder() -> Path:
    """Return the folder for what the user has installed.

    Raises
    ------
    ModelError
        The user has no home folder.
    """
    return _user_folder(platformdirs.user_data_path)


def user_cache_folder() -> Path:
    """Return the folder for what can be made again; raises as `user_data_folder`."""
    return _user_folder(platformdirs.user_cache_path)


def _user_folder(find: Callable[[str], Path]) -> Path:
    try:
        folder = find("stemd")
    except RuntimeError:
        folder = Path("~")
    if folder.parts[:1] == ("~",):  # what older versions of platformdirs give
        raise ModelError(
            "this user has no home folder for the networks; set HOME, or XDG_DATA_HOME and "
            "XDG_CACHE_HOME"
        )
    return folder


@contextmanager
def open_ordinary(path: Path) -> Iterator[BufferedReader]:
    """Open an ordinary file for reading; neither opening nor reading it blocks.

    Raises
    ------
    OSError
        It cannot be opened, or is a folder, a FIFO, a device or a socket.
    """
    # With O_NONBLOCK a FIFO opens at once, and is then refused.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 (a descriptor, not a path)
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind == stat.S_IFDIR:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if kind != stat.S_IFREG:
            found = _KINDS.get(kind, "something else")
            raise OSError(errno.EINVAL, f"it is {found}, and must be an ordinary file", str(path))
        yield file


def read_ordinary(path: Path, most_bytes: int) -> bytes:
    """Read an ordinary file of a bounded size.

    Parameters
    ----------
    path : Path
    most_bytes : int
        A longer file is refused.

    Raises
    ------
    OSError
        It cannot be read, is no ordinary file, or is longer.
    """
    with open_ordinary(path) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(
            errno.EFBIG, f"it is longer than {most_bytes >> 10} KiB, the most allowed", str(path)
        )
    return content


def sha256_of(path: Path) -> str:
    """Return the sha256 of an ordinary file, in hexadecimal; OSError if it cannot be read."""
    with open_ordinary(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def why_unreadable(path: Path) -> str:
    """Return why a file or folder cannot be read; empty if it can."""
    try:
        path.stat()
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(path, os.R_OK) else os.strerror(errno.EACCES)


def broken_link(path: Path) -> str:
    """Return which link, of a path and the folders above it, leads nowhere; empty if none does."""
    for each in (path, *path.parents):
        if each.is_symlink() and not each.exists():
            return f"{each} is a link to {each.readlink()}, which is missing"
    return ""


def write_whole(path: Path, data: bytes, mode: int | None = None) -> None:
    """Write a file so that, whatever happens, its name holds the old content or the new.

    A link in its place is replaced, never written through.

    Parameters
    ----------
    path : Path
    data : bytes
    mode : int, optional
        Of the file; see `part_of`.

    Raises
    ------
    OSError
        It cannot be written; nothing is left behind.
    """
    try:
        with part_of(path, mode) as (part, file):
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)
    except OSError as error:
        if error.errno in _FULL:
            error.add_note(f"{path.name} takes {len(data) / 1e6:.1f} MB")
        raise
    _sync_folder(path.parent)


@contextmanager
def part_of(target: Path, mode: int | None = None) -> Iterator[tuple[Path, BufferedWriter]]:
    """Make an empty hidden file beside the target, after removing those of killed processes.

    It is locked while it is open; a part in the same folder that no process locks was left behind.

    Parameters
    ----------
    target : Path
    mode : int, optional
        Permissions that the part gets, whatever the umask; by default those of the file that it is
        to replace, or, if there is none, those that the umask leaves to new files.

    Yields
    ------
    tuple of (Path, file)
        Its path, to be renamed to the target once it is whole, and the file itself, opened for
        writing. A part that was not renamed is removed at the end.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    _remove_abandoned(target.parent)
    name = f"{PART_PREFIX}{target.name[:SHOWN_OF_A_NAME]}-{token_hex(8)}"
    part = target.with_name(name)
    try:
        with open(_create(part, _mode_of(target) if mode is None else mode), "wb") as file:
            yield part, file
    finally:  # a signal may come as soon as it is made
        part.unlink(missing_ok=True)


def _mode_of(target: Path) -> int | None:
    """Return the permissions of an ordinary file; None if there is none."""
    try:
        mode = target.lstat().st_mode
    except OSError:
        return None
    return mode & 0o777 if stat.S_ISREG(mode) else None


def _create(part: Path, mode: int | None) -> int:
    """Create a part and lock it; return its descriptor."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    while True:
        descriptor = os.open(part, flags, 0o666 if mode is None else 0o600)
        if mode is not None:
            os.fchmod(descriptor, mode)
        with suppress(OSError):  # some network file systems have no locks; parts stay there
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # another process took it for abandoned before it was locked


def _remove_abandoned(folder: Path) -> None:
    """Remove the parts that no process holds a lock on."""
    with suppress(OSError):
        for part in [each for each in folder.iterdir() if PART.fullmatch(each.name)]:
            with suppress(OSError), open_ordinary(part) as file:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path, wait: bool) -> Iterator[None]:
    """Hold a folder against other processes that lock it; the kernel frees a dead one's lock.

    Raises
    ------
    ModelError
        Another process holds it, and `wait` is false.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(descriptor, folder, wait)
        yield
    finally:
        os.close(descriptor)


def remove_if_empty(*folders: Path) -> None:
    """Remove those of the folders that exist and hold nothing, in this order."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def explained(action: str, variable: str) -> Iterator[None]:
    """Turn an OSError into a ModelError that says what to do.

    Parameters
    ----------
    action : str
        What was being done; the message begins with it.
    variable : str
        The environment variable that moves the folder elsewhere.
    """
    try:
        yield
    except OSError as error:
        raise ModelError(f"{action}: {_reason(error, variable)}") from error


def _lock(descriptor: int, folder: Path, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        raise ModelError(f"{folder}: another stemd is at work there; wait for it") from error


def _reason(error: OSError, variable: str) -> str:
    place = f"{error.filename}: " if error.filename else ""
    if error.errno in _FULL:
        needs = "; ".join(["", *getattr(error, "__notes__", [])])
        return f"{place}the disk is full; make room, or set {variable} to a folder elsewhere{needs}"
    if error.errno in _FORBIDDEN:
        return (
            f"{place}{error.strerror}; make the folder writable, or set {variable} to one that is"
        )
    return f"{place}{error.strerror or error}"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
