"""A disk that may get full: files that are written stay whole."""

import os
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path

FULL = (ENOSPC, EDQUOT, EFBIG)
"""What the system says of a full disk, of a quota, and of a limit on files."""

RESERVE_BYTES = 4 << 20
"""More than the ends of all files take."""


class Reserve:
    """Room on a disk for the ends of files, held by a file until it is given up (one thread).

    Parameters
    ----------
    folder : Path
        Of those files.

    Raises
    ------
    OSError
        There is no such room.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".reserve"
        try:
            with self._path.open("xb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        except OSError:
            self.give_up()
            raise

    def give_up(self) -> None:
        """Let the files have it."""
        self._path.unlink(missing_ok=True)


def make_room(descriptor: int, size: int) -> None:
    """Have the disk keep room for what is written next.

    Raises
    ------
    OSError
        The disk is full.
    """
    try:
        os.posix_fallocate(descriptor, os.lseek(descriptor, 0, os.SEEK_CUR), size)
    except OSError as error:
        if error.errno in FULL:
            raise


def cut_off_room(descriptor: int) -> None:
    """End a file where the next write would begin."""
    os.ftruncate(descriptor, os.lseek(descriptor, 0, os.SEEK_CUR))
