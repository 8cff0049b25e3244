"""Files and folders: whole or not at all, one writer at a time, errors in plain words."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

from stemd.tflite_models.errors import ModelError

PART_PREFIX = ".part-"

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def user_data_folder() -> Path:
    """Give the folder for what the user has installed.

    Raises
    ------
    ModelError
        The user has no home folder.
    """
    return _user_folder(platformdirs.user_data_path)


def user_cache_folder() -> Path:
    """Give the folder for what can be made anew; raises as `user_data_folder`."""
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


def sha256_of(path: Path) -> str:
    """Give the sha256 of a file, in hexadecimal; OSError if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def why_unreadable(path: Path) -> str:
    """Say why a file or folder cannot be read; nothing if it can."""
    try:
        path.stat()
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(path, os.R_OK) else os.strerror(errno.EACCES)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that, whatever happens, its name holds the old content or the new.

    Raises
    ------
    OSError
        It cannot be written; nothing is left behind.
    """
    descriptor, name = tempfile.mkstemp(prefix=PART_PREFIX, dir=path.parent)
    part = Path(name)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor, not a path)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


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
        return f"{place}the disk is full; make room, or set {variable} to a folder elsewhere"
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
