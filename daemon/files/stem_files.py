"""Writes stems: each file is complete, or does not exist."""

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain, count
from math import ceil
from pathlib import Path
from string import Formatter

from stemd.daemon.errors import AudioFileError, ConfigError
from stemd.daemon.files.cover import Cover
from stemd.daemon.files.remedies import OPTIONS, Remedies
from stemd.daemon.files.stem_file import (
    ENCODERS,
    MARK,
    SUBTYPES,
    TEXT,
    EncodedFile,
    PlainFile,
    StemFile,
    comment_of,
    is_cut,
)
from stemd.daemon.files.stem_mp4 import STEM_MP4
from stemd.daemon.wording import nearest
from stemd.dsp.scheme import CHANNELS
from stemd.tflite_models.files import part_of, write_whole

BYTES = {"PCM_24": 3, "FLOAT": 4}
"""Bytes of one sample in a file that is not encoded."""

MOST_OF_FLAC = 655_350
"""Frames per second."""

DAMAGE = "damage"
"""The name of the text beside the stems that says what their song lacked."""

NAMELESS = "a song without a name"
"""In stems of standard input: they are known to be stems, and not of which song."""

LONGEST_TAG = 1_000
"""Characters of a tag in a file."""

LONGEST_NAME = 255
"""Bytes of a file's name."""


FIELDS = ("artist", "album", "title", "file", "stem")
"""Of a template for names."""


def _as_file_name(text: str) -> str:
    """Return a text as one part of a path, that is neither hidden nor empty."""
    return re.sub(r"[/\0-\x1f\x7f]", "_", text).strip(". ") or "unknown"


def _filled(part: str, fields: Mapping[str, str], stem: str, most_bytes: int) -> str:
    """Return one part of a template with its fields, which are cut until it is short enough."""
    for longest in range(most_bytes, -1, -1):
        cut = {name: text[:longest] for name, text in fields.items()}
        filled = part.format(**cut | {"stem": stem})
        if len(os.fsencode(filled)) <= most_bytes:
            break
    return filled


def _as_text(text: str) -> str:
    """Return a text that UTF-8 can write."""
    return text.encode(errors="backslashreplace").decode()


def _can_be_made(path: Path) -> bool:
    """Whether nothing is there yet, and nothing is in the way of its folders."""
    if os.path.lexists(path):
        return False
    return next(each for each in path.parents if os.path.lexists(each)).is_dir()


def origin_of(path: Path) -> str:
    """Return which song a file is a stem of, and how it was made; empty if it is none."""
    comment = comment_of(path)
    return comment.removeprefix(MARK) if comment.startswith(MARK) else ""


@dataclass(frozen=True)
class Destination:
    """Where stems go, and as what.

    Attributes
    ----------
    folder : Path
        Made if missing.
    suffix : str
        Of `SUBTYPES` or `ENCODERS`. Where WAV cannot hold all frames, the file is RF64.
    subtype : str
        "PCM_24" or "FLOAT"; of WAV and FLAC.
    may_replace : bool
        Files of other songs that are there already are replaced, once the new ones are complete.
    file : str
        The name of the song's file, for the template.
    song, settings : str
        Which song the stems are of, and how they are made; they are written into the files. Files
        of the same song are replaced in any case.
    tags : mapping
        Of the song, by soundfile's names for them.
    template : str
        The path of each file below the folder, without its suffix. `FIELDS` stand for tags, for
        the song's file and for the stem. A title that is missing is the file's name, another tag
        "unknown".
    cover : Cover, optional
        Of the song.
    remedies : Remedies
        How messages name what the caller can change.
    """

    folder: Path
    suffix: str = "wav"
    subtype: str = "FLOAT"
    may_replace: bool = False
    file: str = ""
    song: str = ""
    settings: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    template: str = "{stem}"
    cover: Cover | None = None
    remedies: Remedies = OPTIONS

    @property
    def is_named_by_tags(self) -> bool:
        """Whether the files' names depend on the song's tags."""
        return any(f"{{{name}}}" in self.template for name in ("artist", "album", "title"))

    def targets(self, names: Iterable[str]) -> list[Path]:
        """Return the file of each name."""
        known = {name: self.tags.get(name, "") for name in FIELDS} | {"file": self.file}
        known["title"] = known["title"] or self.file
        fields = {name: _as_file_name(text) for name, text in known.items()}
        *folders, last = self.template.split("/")
        most_bytes = LONGEST_NAME - len(f".{self.suffix}")
        return [
            self.folder.joinpath(
                *(_filled(folder, fields, name, LONGEST_NAME) for folder in folders),
                f"{_filled(last, fields, name, most_bytes)}.{self.suffix}",
            )
            for name in names
        ]

    def check_template(self) -> None:
        """Raise ConfigError if the template has other fields, or gives all stems one name."""
        try:
            used = [(name, *how) for _, name, *how in Formatter().parse(self.template)]
        except ValueError:  # a brace without its other one
            used = []
        known = ", ".join(f"{{{name}}}" for name in FIELDS)
        for name, *_ in used:
            if name is not None and name not in FIELDS:
                near = nearest(name, FIELDS)
                hint = f"did you mean {{{near}}}?" if near else f"there are {known}"
                raise ConfigError(f"--name {self.template}: there is no field {{{name}}}; {hint}")
        path = Path(self.template)
        tells_apart = "{stem}" in self.template or self.suffix == STEM_MP4
        is_plain = tells_apart and used and not any(form or how for _, form, how in used)
        if not is_plain or path.is_absolute() or ".." in path.parts:
            raise ConfigError(
                f"--name {self.template}: it must be a path of text and {known}, and have {{stem}}"
            )

    def tags_of(self, name: str) -> dict[str, str]:
        """Return the tags of a stem's file: the song's, its title with the stem's name added."""
        tags = {
            key: _as_text(text.replace("\0", ""))[:LONGEST_TAG] for key, text in self.tags.items()
        }
        if "title" in tags and self.suffix != STEM_MP4:
            tags["title"] += f" ({name})"
        origin = self._origin if self.song else NAMELESS
        return {"comment": MARK + origin, **tags}  # in front, where it is found soon

    def is_done(self, names: Iterable[str]) -> bool:
        """Whether all files are there, whole, of the same song and made in the same way."""
        return all(
            origin_of(target) == self._origin and not is_cut(target)
            for target in self.targets(names)
        )

    def damage(self) -> str:
        """Return what the song of the files that are there lacked; empty if nothing is noted."""
        note = self._note()
        if not self._is_own(note):
            return ""
        _, _, damage = note.read_text(errors="replace").partition("\n")
        return damage.strip()

    def note_damage(self, damage: str) -> None:
        """Write what the song lacked beside the stems, or remove what an earlier run wrote."""
        note = self._note()
        if damage and self.song:
            with _folder(note.parent):
                write_whole(note, f"{MARK}{_as_text(self.song)}; {DAMAGE}\n{damage}\n".encode())
        elif self._is_own(note):
            note.unlink()
            with suppress(OSError):  # stems are in it, too
                note.parent.rmdir()

    def check_writable(self, names: Iterable[str]) -> None:
        """Raise AudioFileError if the files' folders cannot be written, or made."""
        for target in self.targets(names):
            folder = next(each for each in target.parents if os.path.lexists(each))
            if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
                reason = "it may not be written" if folder.is_dir() else "it is no folder"
                raise AudioFileError(
                    f"cannot write the stems into {folder}: {reason}; give another folder "
                    f"({self.remedies.folder})"
                )

    def check_free(self, names: Iterable[str]) -> None:
        """Raise AudioFileError if a file is there that must not be replaced."""
        if self.may_replace:
            return
        for target in self.targets(names):
            if os.path.lexists(target) and not self._is_own(target):
                raise AudioFileError(
                    f"{target} is there already, perhaps of another song: give another folder "
                    f"({self.remedies.folder}), or replace it ({self.remedies.replace})"
                )

    def _note(self) -> Path:
        """Return the text that says what the song lacked: the song's own one, or a new one."""
        template = self.template if "{stem}" in self.template else f"{self.template} {{stem}}"
        texts = replace(self, suffix=TEXT, template=template)
        names = chain([DAMAGE], (f"{DAMAGE} {number}" for number in count(2)))
        notes = (texts.targets([name])[0] for name in names)
        return next(note for note in notes if self._is_own(note) or _can_be_made(note))

    def _is_own(self, path: Path) -> bool:
        """Whether a file is one that stemd wrote for this song."""
        return bool(self.song) and origin_of(path).startswith(f"{_as_text(self.song)}; ")

    @property
    def _origin(self) -> str:
        samples = f"; {self.subtype}" if self.suffix in SUBTYPES else ""
        # A file's name need not be text.
        return f"{_as_text(self.song)}; {self.settings}{samples}"

    def open(
        self, name: str, target: Path, part: Path, descriptor: int, samplerate: int
    ) -> StemFile:
        """Open the part of a file; see `StemFile`."""
        tags = self.tags_of(name)
        if self.suffix in ENCODERS:
            suffix, cover = self.suffix, self.cover
            return EncodedFile(target, part, descriptor, samplerate, suffix, tags, cover)
        if self.suffix == "flac" and samplerate > MOST_OF_FLAC:
            raise AudioFileError(
                f"FLAC files have at most {MOST_OF_FLAC} frames per second (got {samplerate}): "
                "choose another format"
            )
        kind = "RF64" if self.suffix == "wav" else self.suffix.upper()
        subtype, cover = self.subtype, self.cover
        return PlainFile(target, part, descriptor, samplerate, kind, subtype, tags, cover)


@contextmanager
def writing_stems(
    destination: Destination,
    names: Sequence[str],
    samplerate: int,
    expected: int,
    damage: Callable[[], object] = lambda: "",
) -> Iterator[list[StemFile]]:
    """Open a file for each stem; at the end all get their names, or all are removed.

    Parameters
    ----------
    destination : Destination
    names : sequence of str
        The files' names without suffix.
    samplerate : int
        Frames per second.
    expected : int
        How many frames will probably be written; 0 if unknown.
    damage : callable
        Returns what the song lacked, once all of it is written.

    Raises
    ------
    AudioFileError
        If a file cannot be written, or must not be replaced.
    """
    folder = destination.folder
    try:
        with ExitStack() as stack:
            destination.check_free(names)
            files = []
            for name, target in zip(names, destination.targets(names), strict=True):
                stack.enter_context(_folder(target.parent))
                if target.is_dir():
                    raise IsADirectoryError(errno.EISDIR, f"{target} is a folder")
                part, opened = stack.enter_context(part_of(target))
                files.append(destination.open(name, target, part, opened.fileno(), samplerate))
                stack.callback(files[-1].close)
            yield files
            for file in files:
                file.finish()
                file.sync()  # a name must not survive a power cut without its content
            destination.check_free(names)  # another program may have written one meanwhile
            destination.note_damage(str(damage()))
            for file in files:
                file.put_in_place()
    except OSError as error:
        reason, remedy = _why(error, destination, names, expected)
        raise AudioFileError(f"cannot write the stems into {folder}: {reason}; {remedy}") from None


def _why(
    error: OSError, destination: Destination, names: Sequence[str], expected: int
) -> tuple[str, str]:
    """Return why the stems of so many frames cannot be written, and what helps."""
    reason, remedies = error.strerror or str(error), destination.remedies
    another = f"give another folder ({remedies.folder})"
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            most = ceil(len(names) * expected * CHANNELS * BYTES[destination.subtype] / 1e6)
            if most and destination.suffix in SUBTYPES:
                reason += f": they take up to {most} MB"
            return reason, f"make room, or {another}"
        case errno.EFBIG:
            smaller = f", or a smaller format ({remedies.flac})"
            return (
                "the file system, or a limit (ulimit -f), permits no file that large; FAT permits "
                "4 GB",
                f"{another} on another disk{smaller if destination.suffix == 'wav' else ''}",
            )
        case errno.EINVAL if error.filename:
            return (
                f"the file system refuses the name {destination.targets(names)[0]}; FAT and exFAT "
                'refuse " * : < > ? \\ |',
                f"rename the song, or {another} on another disk",
            )
    return reason, another


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Make a folder if it is missing; remove it again if it stays empty."""
    missing = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    try:
        folder.mkdir(parents=True, exist_ok=True)  # in here, for a signal may come behind it
        yield
    finally:
        for each in missing:
            with suppress(OSError):  # something is in it
                each.rmdir()
