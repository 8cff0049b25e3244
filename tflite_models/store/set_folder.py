"""A folder with a set of networks, replaced as a whole.

The manifest is the set: a file it does not name does not count. New graphs come under new names
(a piece of their sha256 is in it), then the manifest is replaced by one rename, then what it does
not name is removed. A crash at any moment leaves the old set or the new one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from mmap import ACCESS_READ, mmap
from pathlib import Path
from zlib import crc32

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.files import PART_PREFIX, open_ordinary, remove_if_empty, write_whole
from stemd.tflite_models.graphs.graph_file import beginning
from stemd.tflite_models.store.manifest import MANIFEST, FileRecord, Manifest, read_manifest


def write_set(
    folder: Path, draft: Manifest, graphs: Iterable[tuple[str, bytes]], plain_names: bool = False
) -> Manifest:
    """Write a set, replacing the one that is there.

    Parameters
    ----------
    folder : Path
        Made if missing; the caller holds the lock of its parent.
    draft : Manifest
        All but the files, save those of the first stems that lie in another set.
    graphs : iterable of (stem, content)
        In the stems' order; taken one by one, so that only one is in memory.
    plain_names : bool
        Name the files by stem alone, giving up the protection of an old set.

    Returns
    -------
    Manifest
        As written.

    Raises
    ------
    OSError
        Something cannot be written. What was there before is as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        records = tuple(_write_graph(folder, *graph, plain_names) for graph in graphs)
        manifest = draft.model_copy(update={"files": (*draft.files, *records)})
        write_whole(folder / MANIFEST, manifest.to_json().encode())
    finally:
        sweep(folder)
    return manifest


def sweep(folder: Path) -> None:
    """Remove the graphs that the manifest does not name, and files left half-written."""
    unused = set(folder.glob(f"{PART_PREFIX}*"))
    try:
        named = {record.file for record in read_manifest(folder).files}
        unused |= {path for path in folder.glob("*.tflite") if path.name not in named}
    except ModelError:
        # Without a manifest no graph counts; with a damaged one they may yet be of use.
        if not (folder / MANIFEST).exists():
            unused |= set(folder.glob("*.tflite"))
    for path in unused:
        path.unlink(missing_ok=True)
    remove_if_empty(folder)


def graph_name(stem: str, sha256: str) -> str:
    """Return the name of a graph's file, which is different for different contents."""
    return f"{stem}-{sha256[:12]}.tflite"


def is_as_written(folder: Path, record: FileRecord) -> bool:
    """Whether the file of a derived graph is unchanged, and says of itself that it is its stem's.

    To look for the stem's name takes less than to import the classes of the whole format, which a
    daemon whose graphs are made does without.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with open_ordinary(record.path(folder)) as file:
        if os.fstat(file.fileno()).st_size != record.bytes:
            return False
        with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            is_unchanged = _checksum(record.sha256, content) == record.crc32
            return is_unchanged and content.find(beginning(record.stem)) >= 0


def _write_graph(folder: Path, stem: str, content: bytes, plain_name: bool) -> FileRecord:
    digest = hashlib.sha256(content).hexdigest()
    name = f"{stem}.tflite" if plain_name else graph_name(stem, digest)
    write_whole(folder / name, content)
    checksum = None if plain_name else _checksum(digest, content)
    return FileRecord(stem=stem, file=name, bytes=len(content), sha256=digest, crc32=checksum)


def _checksum(sha256: str, content: bytes | mmap) -> int:
    return crc32(content, crc32(sha256.encode()))
