"""The `manifest.json` that stands beside every set of networks and vouches for its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.families import DEFAULT_FAMILY
from stemd.tflite_models.family import Family, Release
from stemd.tflite_models.files import read_ordinary, sha256_of
from stemd.tflite_models.graphs.spec import GraphSpec, MaskKind, PlainPrecision

MANIFEST = "manifest.json"

MOST_BYTES = 1 << 16
"""Of a manifest; those that there are have some thousand."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# A bare name: a manifest must not reach out of its folder.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]


FORMAT: Literal[1] = 1


class LaterFormatError(ModelError):
    """A manifest was written by a later version of stemd; the message has the remedy."""


class _Part(BaseModel):
    """What is known of a manifest; keys that only a later version knows stay in it, unused."""

    # Deferred: `Manifest` validates what is in it; the validators of its parts would take memory.
    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)


class FileRecord(_Part):
    """One stem's file as it was when it was written."""

    stem: str
    file: FileName
    bytes: Annotated[int, Field(gt=0)]
    sha256: Sha256
    crc32: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    """Of sha256 and the content, for a derived graph. It is checked at each start, because it is
    much quicker to compute than sha256."""
    set: FileName | None = None
    """The set whose file it is, if not this one: it lies in that one's folder, beside this."""

    def path(self, folder: Path) -> Path:
        """Return the path of this file in the folder of its set."""
        return (folder if self.set is None else folder.parent / self.set) / self.file

    def check(self, folder: Path, deep: bool = True) -> None:
        """Compare the file on disk: its length and, if `deep`, its sha256.

        Raises
        ------
        ModelError
            It is missing or differs; the message ends before the remedy.
        """
        path = self.path(folder)
        try:
            length = path.stat().st_size
            if length != self.bytes:
                raise ModelError(f"{path} is {length} bytes long, expected {self.bytes}")
            if deep and (found := sha256_of(path)) != self.sha256:
                raise ModelError(f"{path} has sha256 {found}, expected {self.sha256}")
        except OSError as error:
            raise ModelError(
                f"{path}: {error.strerror}; expected a file of sha256 {self.sha256}"
            ) from error


class Provenance(_Part):
    """Where the weights come from."""

    project: str
    release: str
    archive: str
    archive_sha256: Sha256
    """The published one; whether the weights came in that archive or loose, see `checkpoint`."""
    checkpoint: dict[str, Sha256]
    """sha256 of each file the weights were read from."""
    verified: bool
    """Whether those are the published ones."""


class Training(_Part):
    """What was done to the weights since; the card beside the manifest has the details."""

    stems: tuple[str, ...]
    """The stems whose networks were trained; the others are as they came."""
    steps: int
    """Of all runs, one after the other."""
    seed: int
    """Of the last one."""
    material_sha256: Sha256
    """Of the list of what was heard in the last run, in the card."""
    card: FileName


class Figures(_Part):
    """How well a set separates."""

    of: str
    """What it was measured on."""
    sdr_db: dict[str, float]
    """Mean signal-to-distortion ratio of each stem, in decibels."""


class Manifest(_Part):
    """A set of networks, one for each stem, in order."""

    format: Literal[1] = FORMAT
    name: str
    family: str = DEFAULT_FAMILY
    """Which kind of networks they are; see `families`."""
    precision: str
    """Of the weights in the files."""
    graph: str
    """The window the graphs are made for, as `GraphSpec` prints it."""
    masks: MaskKind = "sigmoid"
    """How the masks are made of what the networks compute."""
    files: tuple[FileRecord, ...] = ()
    provenance: Provenance
    training: Training | None = None
    """None for networks that are as their authors trained them."""
    figures: Figures | None = None
    licence: str
    citation: str

    @property
    def about(self) -> dict[str, Any]:
        """The origin and licence that each file of the set has in its metadata."""
        fields = {"name", "provenance", "training", "licence", "citation"}
        return self.model_dump(include=fields, exclude_none=True)

    @property
    def stems(self) -> tuple[str, ...]:
        """The stems' names, in order."""
        return tuple(record.stem for record in self.files)

    def to_json(self) -> str:
        """Return the text of the file."""
        return self.model_dump_json(indent=2, exclude_none=True) + "\n"


def provenance_of(release: Release, checkpoint: dict[str, str], verified: bool) -> Provenance:
    """Describe weights read from checkpoint files.

    Parameters
    ----------
    release : Release
        What they claim to be.
    checkpoint : dict of str to str
        The files' sha256 by name.
    verified : bool
        Whether they are known to be the published ones.
    """
    return Provenance(
        project=release.publication.project,
        release=release.publication.version,
        archive=release.archive,
        archive_sha256=release.archive_sha256,
        checkpoint=checkpoint,
        verified=verified,
    )


def plain_spec(family: Family[Any, Any], precision: PlainPrecision) -> GraphSpec:
    """Return what the plain graphs of a family are made for: all of its window is emitted."""
    return GraphSpec(T=family.window, B=family.window, precision=precision)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder that has one.

    Raises
    ------
    LaterFormatError
        This version cannot read it.
    ModelError
        It cannot be read or is no manifest; the message ends before the remedy.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(read_ordinary(path, MOST_BYTES))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        first, *_ = problems = error.errors()
        for each in problems:
            if each["loc"] == ("format",) and isinstance(each["input"], int):
                raise _another_format(path, each["input"]) from error
        place = ".".join(str(part) for part in first["loc"]) or "text"
        raise ModelError(f"{path} is damaged: {place}: {first['msg']}") from error


def _another_format(path: Path, found: int) -> ModelError:
    if found < FORMAT:
        return ModelError(f"{path} is damaged: its format is {found}, expected {FORMAT}")
    return LaterFormatError(
        f"{path} was written by a later stemd (its format is {found}, this one reads {FORMAT}): "
        "install that version here too, or choose other networks"
    )
