"""A set of networks that is here, and the graphs derived from it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stemd.tflite_models.errors import DAMAGED, ModelError
from stemd.tflite_models.families import family_of
from stemd.tflite_models.family import Family, W
from stemd.tflite_models.files import explained, locked
from stemd.tflite_models.graphs.spec import GraphSpec, MaskKind
from stemd.tflite_models.store.manifest import FileRecord, Manifest, read_manifest
from stemd.tflite_models.store.set_folder import graph_name, is_as_written, write_set

CACHED_SPECS = 8
"""So many derived sets are kept, all of `stemd bench` among them, because they need much space; of
the others the longest unused go."""


@dataclass(frozen=True)
class ModelSet:
    """Plain networks, one for each stem; see `Library.find`."""

    manifest: Manifest
    folder: Path
    origin: Literal["installed", "bundled"]
    cache_dir: Path
    """Where derived graphs are kept."""
    remedy: str
    """The command that repairs a damaged set."""

    @property
    def name(self) -> str:
        """As in `stemd models install NAME`."""
        return self.manifest.name

    @property
    def stems(self) -> tuple[str, ...]:
        """The stems' names, in order."""
        return self.manifest.stems

    @property
    def family(self) -> str:
        """Which kind of networks they are; see `families`."""
        return self.manifest.family

    @property
    def masks(self) -> MaskKind:
        """How the masks are made of what the networks compute."""
        return self.manifest.masks

    @property
    def precision(self) -> str:
        """Of the weights in the files: fp32 or fp16."""
        return self.manifest.precision

    @property
    def paths(self) -> dict[str, Path]:
        """The plain files by stem."""
        return _paths(self.folder, self.manifest)

    def verify(self, deep: bool = True) -> None:
        """Compare the files with the manifest: lengths and, if `deep`, sha256.

        Raises
        ------
        ModelError
            One is missing or differs: file, expected, found, remedy.
        """
        try:
            _check(self.folder, self.manifest, deep)
        except ModelError as error:
            raise ModelError(f"{error}; {self.remedy}") from error

    def graphs(self, spec: GraphSpec) -> dict[str, Path]:
        """Return the files of the graphs for a spec, by stem; derive them if they are not cached.

        Takes a second or two for four stems when it has to derive; another process that wants
        the same waits for it. What is cached may lie where nothing can be written. The content of
        the plain files is checked before something is derived from them, and of those that are
        cached each time.

        Raises
        ------
        ModelError
            The cache folder cannot be written, or the plain files cannot be read or are damaged.
        """
        folder = self.cache_dir / self._key(spec)
        # Before the look, so that no other process forgets the set meanwhile.
        with suppress(OSError):
            os.utime(folder)
        return _paths(folder, self._cached(folder, spec) or self._derive(folder, spec))

    def write_graphs(self, spec: GraphSpec) -> Iterator[tuple[str, bytes]]:
        """Derive the graphs for a spec, one by one, as (stem, content of the file).

        Raises
        ------
        ModelError
            A file cannot be read, is damaged, or holds another stem's network; while iterating.
        """
        family = family_of(self.family)
        for stem, path in self.paths.items():
            weights = self._reopen(family, path)
            if weights.stem != stem:
                raise ModelError(
                    f"{path} holds the network of {weights.stem}, expected {stem}; {self.remedy}"
                )
            yield stem, family.compile(weights, spec, self.manifest.about)

    def _reopen(self, family: Family[Any, W], path: Path) -> W:
        try:
            return family.reopen(path)
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror}; {self.remedy}") from error
        except DAMAGED as error:
            raise ModelError(
                f"{path}: is not a network of the {family.name} family that stemd wrote, or is "
                f"damaged; {self.remedy}"
            ) from error

    def _derive(self, folder: Path, spec: GraphSpec) -> Manifest:
        with explained(f"deriving the graphs of {self.name}", "XDG_CACHE_HOME"):
            self.cache_dir.mkdir(parents=True, exist_ok=True)
            with locked(self.cache_dir, wait=True):
                # Another process may have derived them while this one waited.
                manifest = self._cached(folder, spec)
                if manifest is None:
                    self.verify()
                    manifest = write_set(folder, self._draft(spec), self.write_graphs(spec))
                with suppress(OSError):
                    _forget_unused(self.cache_dir, folder)
        return manifest

    def _draft(self, spec: GraphSpec) -> Manifest:
        """Return the manifest of what is derived for a spec, without the files."""
        return self.manifest.model_copy(
            update={"graph": str(spec), "precision": spec.precision, "files": ()}
        )

    def _cached(self, folder: Path, spec: GraphSpec) -> Manifest | None:
        """Return the manifest of a cached set, if it is what would be derived; else None."""
        try:
            found = read_manifest(folder)
            if found.model_copy(update={"files": ()}) != self._draft(spec):
                return None
            if found.stems != self.stems or not all(_is_derived(each) for each in found.files):
                return None
            is_right = all(is_as_written(folder, record) for record in found.files)
        except (ModelError, OSError):  # missing or damaged: derive it again
            return None
        return found if is_right else None

    def _key(self, spec: GraphSpec) -> str:
        """Name the folder after everything that determines the graphs."""
        sources = [(record.stem, record.sha256) for record in self.manifest.files]
        everything = json.dumps([family_of(self.family).compiled_version, spec.as_dict(), sources])
        return f"{self.name}-{spec}-{hashlib.sha256(everything.encode()).hexdigest()[:16]}"


def _is_derived(record: FileRecord) -> bool:
    return record.set is None and record.file == graph_name(record.stem, record.sha256)


def _check(folder: Path, manifest: Manifest, deep: bool = True) -> None:
    for record in manifest.files:
        record.check(folder, deep)


def _paths(folder: Path, manifest: Manifest) -> dict[str, Path]:
    return {record.stem: record.path(folder) for record in manifest.files}


def _forget_unused(cache_dir: Path, current: Path) -> None:
    """Remove the sets unused for longest; a process that has one mapped keeps its files."""
    others = [folder for folder in cache_dir.iterdir() if folder.is_dir() and folder != current]
    others.sort(key=lambda folder: folder.stat().st_mtime_ns, reverse=True)
    for folder in others[CACHED_SPECS - 1 :]:
        shutil.rmtree(folder, ignore_errors=True)
