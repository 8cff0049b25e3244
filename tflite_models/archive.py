"""Takes a checkpoint's files out of an archive, trusting nothing in it."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from stemd.tflite_models.errors import ModelError

if TYPE_CHECKING:
    from gzip import GzipFile
    from tarfile import TarFile, TarInfo

_CHUNK_BYTES = 1 << 20


def extract(archive: Path, names: Collection[str], folder: Path) -> None:
    """Copy the named members of a `.tar.gz` into an empty folder, and nothing else.

    A member is taken by its bare name, be it at the archive's top or in one folder; it is written
    to `folder / name`, so that no path from the archive is ever used.

    Raises
    ------
    ModelError
        The archive is damaged, or does not hold each member once, as an ordinary file. The
        caller throws away what the folder has got by then.
    OSError
        The folder cannot be written.
    """
    import gzip
    import tarfile

    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            found = _copy_members(archive, tar, names, folder)
            _read_to_end(stream)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ModelError(f"{archive}: is no .tar.gz archive or is damaged ({error})") from error
    for name in names:
        if name not in found:
            raise ModelError(f"{archive}: holds no {name}; it is no checkpoint of Spleeter")


def _copy_members(
    archive: Path, tar: TarFile, names: Collection[str], folder: Path
) -> Collection[str]:
    found: set[str] = set()
    for member in tar:
        name = _bare_name(member)
        if name not in names:
            continue
        if name in found:
            raise ModelError(f"{archive}: holds {name} twice; it is no official archive")
        source = tar.extractfile(member) if member.isreg() else None
        if source is None:
            raise ModelError(
                f"{archive}: holds {name} as something else than a file; it is no official archive"
            )
        with source, (folder / name).open("xb") as target:
            shutil.copyfileobj(source, target, _CHUNK_BYTES)
        found.add(name)
    return found


def _bare_name(member: TarInfo) -> str:
    """Give the name without the one folder it may be in; nothing for a member elsewhere."""
    folder, slash, name = member.name.removeprefix("./").rpartition("/")
    elsewhere = "/" in folder or folder == ".." or (slash and not folder)
    return "" if elsewhere else name


def _read_to_end(stream: GzipFile) -> None:
    """Read what follows the tar's end, so that gzip comes to its checksum."""
    while stream.read(_CHUNK_BYTES):
        pass
