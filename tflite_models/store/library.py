"""Which networks are here: bundled with the program, or installed by the user.

A set is known by the name of its folder, whose manifest says the rest. Sets of the same stems lie
side by side; of two with the same name the installed one is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.families import DEFAULT_FAMILY, family_of
from stemd.tflite_models.families import releases as official_releases
from stemd.tflite_models.family import Release
from stemd.tflite_models.files import (
    broken_link,
    explained,
    user_cache_folder,
    user_data_folder,
    write_whole,
)
from stemd.tflite_models.graphs.spec import GraphSpec, MaskKind, PlainPrecision
from stemd.tflite_models.store.manifest import (
    MANIFEST,
    Figures,
    LaterFormatError,
    Manifest,
    plain_spec,
    read_manifest,
)
from stemd.tflite_models.store.sets import ModelSet

Origin = Literal["installed", "bundled"]

SET_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""What a set may be called: its folder's name."""


@dataclass(frozen=True)
class Listing:
    """One line of `stemd models list`: a set that is here, or that could be."""

    name: str
    stems: tuple[str, ...]
    origin: Origin | None
    """None for a set that can be installed."""
    in_use: bool = False
    folder: Path | None = None
    manifest: Manifest | None = None
    """None if it is damaged, or there is none."""
    problem: str = ""
    family: str = DEFAULT_FAMILY
    masks: MaskKind = "sigmoid"
    figures: Figures | None = None
    """How well it separates, where that was measured."""


class Library:
    """The networks of this user on this machine.

    Parameters
    ----------
    data_dir : Path, optional
        Installed sets live in its `models/NAME/`; by default the user's data folder.
    cache_dir : Path, optional
        Derived graphs live in its `graphs/`; by default the user's cache folder.
    bundled_dir : Path, optional
        Holds `NAME/` for each bundled set; by default this package's folder.
    releases : mapping of str to Release, optional
        The sets that can be installed; by default the official ones of every family.

    Raises
    ------
    ModelError
        The user has no home folder; so do the methods when a folder may not be looked into.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        cache_dir: Path | None = None,
        bundled_dir: Path | None = None,
        releases: Mapping[str, Release] | None = None,
    ) -> None:
        self._installed_dir = (data_dir or user_data_folder()) / "models"
        self._cache_dir = cache_dir or user_cache_folder()
        self._bundled_dir = bundled_dir or Path(__file__).parents[1]
        self._releases = official_releases() if releases is None else releases

    @property
    def names(self) -> tuple[str, ...]:
        """The sets that can be installed, then the others that are here."""
        return tuple(dict.fromkeys((*self._releases, *self._names_here())))

    def release(self, name: str) -> Release:
        """Return what is known of a set that can be installed.

        Raises
        ------
        ModelError
            No set of this name can be installed.
        """
        try:
            return self._releases[name]
        except KeyError:
            known = ", ".join(self._releases)
            raise ModelError(
                f"no networks named {name!r} can be installed; known are {known}"
            ) from None

    def installed_dir(self, name: str) -> Path:
        """Return the folder where a set is, or would be, installed.

        Raises
        ------
        ModelError
            There is no set of this name.
        """
        names = self.names
        if name not in names:
            raise ModelError(f"there are no networks named {name!r}; known are {', '.join(names)}")
        return self._installed_dir / name

    def find(self, name: str, deep: bool = True) -> ModelSet:
        """Return a set with every file checked; an installed one hides a bundled one.

        Parameters
        ----------
        name : str
        deep : bool
            Check the sha256 of every file, and not only its length.

        Raises
        ------
        ModelError
            It is unknown, missing or damaged; the message ends with the command that repairs it.
        """
        found = self._open(name, *self._first_place(name))
        found.verify(deep)
        return found

    def find_bundled(self, name: str) -> ModelSet:
        """Return the bundled set, checked, whatever the user has installed.

        Raises
        ------
        ModelError
            It is missing or damaged.
        """
        folder = self._bundled_dir / name
        found = self._open(name, "bundled", folder)
        found.verify()
        return found

    def verify(self, name: str) -> list[ModelSet | ModelError]:
        """Check every copy of a set, the hidden one too; return it, or what is wrong with it.

        Raises
        ------
        ModelError
            There is none.
        """
        self._first_place(name)
        return [self._checked(name, *place) for place in self._places(name)]

    def list(self) -> list[Listing]:
        """Return what is here and what could be; looks at lengths, not at content."""
        return [line for name in self.names for line in self._listings(name)]

    def export(self, name: str, spec: GraphSpec, out_dir: Path) -> dict[str, Path]:
        """Write the graphs of a spec into a folder, one `STEM.tflite` for each stem.

        Raises
        ------
        ModelError
            The set is missing or damaged, or the folder cannot be written.
        """
        targets = {}
        found = self.find(name)
        with explained(f"exporting {name}", "-o"):
            out_dir.mkdir(parents=True, exist_ok=True)
            for stem, content in found.write_graphs(spec):
                targets[stem] = out_dir / f"{stem}.tflite"
                write_whole(targets[stem], content)
        return targets

    def _first_place(self, name: str) -> tuple[Origin, Path]:
        for place in self._places(name):
            return place
        here = ", ".join(self._names_here()) or "none"
        raise ModelError(
            f"the {name} networks are not installed: run `{_install_command(name)}` (installed or "
            f"bundled: {here})"
        )

    def _places(self, name: str) -> Iterator[tuple[Origin, Path]]:
        candidates: tuple[tuple[Origin, Path], ...] = (
            ("installed", self.installed_dir(name)),
            ("bundled", self._bundled_dir / name),
        )
        return (place for place in candidates if _is_set(place[1]))

    def _names_here(self) -> tuple[str, ...]:
        """Return the names of the folders that hold a set, sorted."""
        roots = (self._installed_dir, self._bundled_dir)
        return tuple(sorted({folder.name for root in roots for folder in _sets_in(root)}))

    def _remedy(self, name: str, origin: Origin) -> str:
        """Return what repairs a damaged set."""
        can_be_installed = name in self._releases
        if origin == "bundled":
            takes = f"run `{_install_command(name)}`, which takes its place, or "
            return f"{takes if can_be_installed else ''}install stemd again"
        remove = f"`stemd models remove {name}`"
        if not can_be_installed:
            return f"run {remove}, or put it there again"
        remedy = f"run `{_install_command(name)}`"
        if _is_set(self._bundled_dir / name):
            remedy += f", or {remove} to use the bundled ones"
        return remedy

    def _open(self, name: str, origin: Origin, folder: Path) -> ModelSet:
        _refuse_broken_link(folder)
        remedy = self._remedy(name, origin)
        try:
            manifest = read_manifest(folder)
        except LaterFormatError:  # nothing is damaged
            raise
        except ModelError as error:
            raise ModelError(f"{error}; {remedy}") from error
        try:
            claims = list(_claims(manifest, name, self._releases.get(name)))
        except ModelError as error:  # of a family that is not known
            raise ModelError(f"{folder / MANIFEST}: {error}") from error
        for what, found, expected in claims:
            if found != expected:
                raise ModelError(
                    f"{folder / MANIFEST} names the {what} {found or 'none'}, expected {expected}; "
                    f"{remedy}"
                )
        return ModelSet(manifest, folder, origin, self._cache_dir / "graphs", remedy)

    def _checked(self, name: str, origin: Origin, folder: Path) -> ModelSet | ModelError:
        try:
            found = self._open(name, origin, folder)
            found.verify()
        except ModelError as error:
            return error
        return found

    def _listings(self, name: str) -> Iterator[Listing]:
        places = list(self._places(name))
        lines = [self._listing(name, *place, in_use=place == places[0]) for place in places]
        yield from lines
        release = self._releases.get(name)
        if release and not lines:
            yield _expected(name, release)

    def _listing(self, name: str, origin: Origin, folder: Path, in_use: bool) -> Listing:
        release = self._releases.get(name)
        try:
            found = self._open(name, origin, folder)
        except ModelError as error:
            expected = _expected(name, release) if release else Listing(name, (), None)
            return replace(
                expected,
                origin=origin,
                in_use=in_use,
                folder=folder,
                figures=None,
                problem=str(error),
            )
        manifest = found.manifest
        is_official = release and manifest.provenance.verified and not manifest.training
        figures = manifest.figures or (_published(release) if release and is_official else None)
        return Listing(
            name,
            found.stems,
            origin,
            in_use,
            folder,
            manifest,
            _problem(found),
            manifest.family,
            found.masks,
            figures,
        )


def _claims(
    manifest: Manifest, name: str, release: Release | None
) -> Iterator[tuple[str, str, str]]:
    """Yield what a manifest says and what it must say: a name for it, found, expected."""
    yield "set", manifest.name, name
    if release:
        yield "family", manifest.family, release.family
        yield "stems", ", ".join(manifest.stems), ", ".join(release.stems)
        yield "masks", manifest.masks, release.masks
    precision: PlainPrecision = "fp16" if manifest.precision == "fp16" else "fp32"
    yield "precision", manifest.precision, precision
    yield "graph", manifest.graph, str(plain_spec(family_of(manifest.family), precision))


def _expected(name: str, release: Release) -> Listing:
    """Return the line of a set that can be installed."""
    return Listing(
        name,
        release.stems,
        None,
        family=release.family,
        masks=release.masks,
        figures=_published(release),
    )


def _published(release: Release) -> Figures | None:
    if not release.musdb18_sdr_db:
        return None
    return Figures(of="MUSDB18", sdr_db=dict(release.musdb18_sdr_db))


def _sets_in(root: Path) -> Iterator[Path]:
    """Yield the folders in a folder that have a manifest.

    Raises
    ------
    ModelError
        The folder may not be looked into, or is a link that leads nowhere: sets could be there.
    """
    try:
        folders = [folder for folder in root.iterdir() if SET_NAME.fullmatch(folder.name)]
    except (FileNotFoundError, NotADirectoryError):
        _refuse_broken_link(root)
        return
    except OSError as error:
        raise _closed(root, error) from error
    yield from (folder for folder in folders if _is_set(folder))


def _is_set(folder: Path) -> bool:
    """Whether a manifest is there, or a link that leads nowhere stands for it.

    Raises
    ------
    ModelError
        The folder may not be looked into: one could be there.
    """
    try:
        (folder / MANIFEST).stat()
    except (FileNotFoundError, NotADirectoryError):
        return bool(broken_link(folder))
    except OSError as error:
        raise _closed(folder, error) from error
    return True


def _refuse_broken_link(path: Path) -> None:
    """Raise `ModelError` where a link that leads nowhere stands for a folder of networks."""
    if broken := broken_link(path):
        raise ModelError(f"{broken}; put the networks there, or remove the link")


def _closed(folder: Path, error: OSError) -> ModelError:
    return ModelError(
        f"{folder}: {error.strerror}; make it readable, or set XDG_DATA_HOME to a folder that is"
    )


def _problem(found: ModelSet) -> str:
    try:
        found.verify(deep=False)
    except ModelError as error:
        return str(error)
    return ""


def _install_command(name: str) -> str:
    return f"stemd models install {name}"
