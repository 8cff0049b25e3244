"""Takes a checkpoint's files out of an archive, trusting nothing in it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.files import open_ordinary

if TYPE_CHECKING:
    from gzip import GzipFile
    from tarfile import TarFile, TarInfo

MOST_BYTES = 1 << 29
"""Of what an archive holds in all, where nothing more exact is known."""

MOST_MEMBERS = 1000
"""An archive with more entries is no checkpoint; a damaged one may lead in circles."""

_CHUNK_BYTES = 1 << 20

# What the readers of tar and gzip raise on bytes that are something else.
_NOT_AN_ARCHIVE = (
    *(EOFError, zlib.error, struct.error, ValueError, LookupError, OverflowError, TypeError),
    RecursionError,
)


def extract(
    archive: Path, names: Collection[str], folder: Path, most_bytes: int = MOST_BYTES
) -> None:
    """Copy the named members of a `.tar.gz` into an empty folder, and nothing else.

    A member is taken by its bare name, be it at the archive's top or in one folder; it is written
    to `folder / name`, so that no path from the archive is ever used.

    Parameters
    ----------
    archive : Path
    names : collection of str
    folder : Path
    most_bytes : int
        More is neither read out of the archive nor written.

    Raises
    ------
    ModelError
        The archive is damaged or too large, or does not hold each member once, as an ordinary
        file. The caller throws away what the folder has got by then.
    OSError
        The archive cannot be read, or the folder cannot be written.
    """
    import gzip
    import tarfile

    try:
        with open_ordinary(archive) as file, gzip.open(file) as unpacked:
            stream = _Bounded(archive, unpacked, most_bytes)
            with tarfile.open(fileobj=stream, mode="r:") as tar:  # type: ignore[call-overload]
                found = _copy_members(archive, tar, names, folder)
            _read_to_end(stream)
    except (tarfile.TarError, gzip.BadGzipFile, *_NOT_AN_ARCHIVE) as error:
        raise ModelError(f"{archive}: is no .tar.gz archive or is damaged ({error})") from error
    for name in names:
        if name not in found:
            raise ModelError(f"{archive}: holds no {name}; it is no checkpoint of Spleeter")


class _Bounded:
    """What gzip unpacks, up to a bound: some bytes of it may stand for gigabytes."""

    def __init__(self, archive: Path, stream: GzipFile, most_bytes: int) -> None:
        self._archive = archive
        self._stream = stream
        self._most_bytes = most_bytes
        self._left = most_bytes

    def read(self, size: int = -1) -> bytes:
        """Read up to ``size`` bytes, all where it is negative."""
        if size < 0 or size > self._left:
            size = self._left + 1
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise self._too_large()
        return data

    def seek(self, position: int) -> int:
        """Go to a position; what lies between is unpacked, too."""
        if position > self._most_bytes:
            raise self._too_large()
        return self._stream.seek(position)

    def tell(self) -> int:
        """Return the position."""
        return self._stream.tell()

    def _too_large(self) -> ModelError:
        return ModelError(
            f"{self._archive}: holds more than {self._most_bytes >> 20} MiB; it is no official "
            "archive"
        )


def _copy_members(
    archive: Path, tar: TarFile, names: Collection[str], folder: Path
) -> Collection[str]:
    found: set[str] = set()
    for member in _members(archive, tar):
        name = _bare_name(member)
        if name not in names:
            continue
        if name in found:
            raise ModelError(f"{archive}: holds {name} twice; it is no official archive")
        # Of a sparse file a few bytes stand for any number of zeros.
        is_plain = member.isreg() and not member.issparse()
        source = tar.extractfile(member) if is_plain else None
        if source is None:
            raise ModelError(
                f"{archive}: holds {name} as something else than a file; it is no official archive"
            )
        with source, (folder / name).open("xb") as target:
            while chunk := source.read(_CHUNK_BYTES):
                target.write(chunk)
        found.add(name)
    return found


def _members(archive: Path, tar: TarFile) -> Iterator[TarInfo]:
    for number, member in enumerate(tar):
        yield member
        if number == MOST_MEMBERS:
            raise ModelError(
                f"{archive}: has more than {MOST_MEMBERS} entries; it is no official archive"
            )


def _bare_name(member: TarInfo) -> str:
    """Give the name without the one folder it may be in; nothing for a member elsewhere."""
    folder, slash, name = member.name.removeprefix("./").rpartition("/")
    elsewhere = "/" in folder or folder == ".." or (slash and not folder)
    return "" if elsewhere else name


def _read_to_end(stream: _Bounded) -> None:
    """Read what follows the tar's end, so that gzip comes to its checksum."""
    while stream.read(_CHUNK_BYTES):
        pass
