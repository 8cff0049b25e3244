"""Turns the files of an official archive into plain networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.families import family_of
from stemd.tflite_models.family import Release
from stemd.tflite_models.files import sha256_of
from stemd.tflite_models.graphs.spec import PlainPrecision
from stemd.tflite_models.store.manifest import Manifest, plain_spec, provenance_of


def checkpoint_sha256(release: Release, folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of a checkpoint, by name.

    Raises
    ------
    ModelError
        One cannot be read.
    """
    try:
        return {name: sha256_of(folder / name) for name in release.files}
    except OSError as error:
        raise ModelError(
            f"{error.filename}: {error.strerror}; a checkpoint's folder holds "
            f"{' and '.join(release.files)}"
        ) from error


def convert(
    release: Release,
    folder: Path,
    found: dict[str, str],
    precision: PlainPrecision,
    origin: str | None = None,
    is_archive_verified: bool = False,
) -> tuple[Manifest, Iterator[tuple[str, bytes]]]:
    """Turn a checkpoint into plain networks.

    Parameters
    ----------
    release : Release
        What it claims to be.
    folder : Path
        Where it is.
    found : dict of str to str
        What `checkpoint_sha256` gave for it.
    precision : str
        Of the weights in the files.
    origin : str, optional
        What the user knows the folder as; messages name it instead.
    is_archive_verified : bool
        Whether it came out of the published archive.

    Returns
    -------
    Manifest
        All but the files.
    iterator of (stem, content)
        In the order of the stems, made as it is taken.

    Raises
    ------
    ModelError
        The checkpoint is damaged or of another architecture; also while iterating.
    """
    family = family_of(release.family)
    networks, spec = family.read(release, folder, origin), plain_spec(family, precision)
    draft = Manifest(
        name=release.name,
        family=release.family,
        precision=precision,
        graph=str(spec),
        masks=release.masks,
        provenance=provenance_of(
            release, found, is_archive_verified or found == dict(release.checkpoint_sha256)
        ),
        licence=release.publication.licence,
        citation=release.publication.citation,
    )
    return draft, ((each.stem, family.plain(each, spec, draft.about)) for each in networks)
