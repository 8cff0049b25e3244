"""Takes a checkpoint's files out of an archive, trusting nothing in it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.files import open_ordinary

if TYPE_CHECKING:
    from gzip import GzipFile
    from tarfile import TarFile, TarInfo

MOST_BYTES = 1 << 29
"""Of what an archive holds in all, where nothing more exact is known."""

MOST_MEMBERS = 100
"""An archive with more entries is no checkpoint; a damaged one may lead in circles."""

MOST_HEADER_BYTES = 8 << 10
"""Of one entry, extended headers and all: tarfile takes a time with the square of their length."""

_CHUNK_BYTES = 1 << 20

# What the readers of tar and gzip raise on bytes that are something else.
_NOT_AN_ARCHIVE = (
    *(EOFError, zlib.error, struct.error, ValueError, LookupError, OverflowError, TypeError),
    RecursionError,
)


def is_broken_off(archive: Path, most_bytes: int = MOST_BYTES) -> bool:
    """Whether an archive ends too early, as a download that broke off; false for other files.

    Parameters
    ----------
    archive : Path
    most_bytes : int
        More is not read out of it.
    """
    from gzip import GzipFile

    left = most_bytes
    try:
        with open_ordinary(archive) as file, GzipFile(fileobj=file) as content:
            while left > 0 and (chunk := content.read(_CHUNK_BYTES)):
                left -= len(chunk)
    except EOFError:
        return True
    except (OSError, zlib.error):
        return False
    return False


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
            with _open_tar(stream) as tar:
                found = _copy_members(archive, stream, tar, names, folder)
            _read_to_end(stream)
    except (tarfile.TarError, gzip.BadGzipFile, *_NOT_AN_ARCHIVE) as error:
        raise ModelError(f"{archive}: is not a .tar.gz archive or is damaged ({error})") from error
    for name in names:
        if name not in found:
            raise ModelError(f"{archive}: holds no {name}; it is not an official archive")


class _Bounded:
    """What gzip unpacks, up to a bound: some bytes of it may stand for gigabytes."""

    def __init__(self, archive: Path, stream: GzipFile, most_bytes: int) -> None:
        self._archive = archive
        self._stream = stream
        self._most_bytes = most_bytes
        self._left = most_bytes
        self._header_left: int | None = None

    @contextmanager
    def reading_headers(self) -> Iterator[None]:
        """Read no more than the headers of one entry may have."""
        self._header_left = MOST_HEADER_BYTES
        try:
            yield
        finally:
            self._header_left = None

    def read(self, size: int = -1) -> bytes:
        """Read up to ``size`` bytes, all where it is negative."""
        if self._header_left is not None:
            self._header_left -= size
            if size < 0 or self._header_left < 0:
                raise ModelError(
                    f"{self._archive}: has an entry whose headers take more than "
                    f"{MOST_HEADER_BYTES >> 10} KiB; it is not an official archive"
                )
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
            f"{self._archive}: holds more than {self._most_bytes >> 20} MiB; it is not an official "
            "archive"
        )


def _open_tar(stream: _Bounded) -> TarFile:
    import tarfile

    with stream.reading_headers():  # of the first entry
        return tarfile.open(fileobj=stream, mode="r:")  # type: ignore[call-overload, no-any-return]


def _copy_members(
    archive: Path, stream: _Bounded, tar: TarFile, names: Collection[str], folder: Path
) -> Collection[str]:
    found: set[str] = set()
    for member in _members(archive, stream, tar):
        name = _bare_name(member)
        if name not in names:
            continue
        if name in found:
            raise ModelError(f"{archive}: holds {name} twice; it is not an official archive")
        # Of a sparse file a few bytes stand for any number of zeros.
        is_plain = member.isreg() and not member.issparse()
        source = tar.extractfile(member) if is_plain else None
        if source is None:
            raise ModelError(
                f"{archive}: holds {name} as something else than a file; it is not an official "
                "archive"
            )
        with source, (folder / name).open("xb") as target:
            while chunk := source.read(_CHUNK_BYTES):
                target.write(chunk)
        found.add(name)
    return found


def _members(archive: Path, stream: _Bounded, tar: TarFile) -> Iterator[TarInfo]:
    for _ in range(MOST_MEMBERS):
        with stream.reading_headers():
            member = tar.next()
        if member is None:
            return
        yield member
    raise ModelError(
        f"{archive}: has more than {MOST_MEMBERS} entries; it is not an official archive"
    )


def _bare_name(member: TarInfo) -> str:
    """Return the name without the one folder that it may be in; empty for a member elsewhere."""
    folder, slash, name = member.name.removeprefix("./").rpartition("/")
    elsewhere = "/" in folder or folder == ".." or (slash and not folder)
    return "" if elsewhere else name


def _read_to_end(stream: _Bounded) -> None:
    """Read what follows the tar's end, so that gzip checks its checksum."""
    while stream.read(_CHUNK_BYTES):
        pass
