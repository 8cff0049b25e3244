"""Writes stems: each file is complete, or does not exist."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from errno import EDQUOT, EIO, EISDIR, ENOSPC
from pathlib import Path

import numpy as np
import soundfile

from stemd.daemon.errors import AudioFileError
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import CHANNELS
from stemd.tflite_models.files import open_ordinary, part_of

BYTES = {"PCM_24": 3, "FLOAT": 4}
"""Bytes of one sample in a file."""

RF64_AUTO_DOWNGRADE = 0x1210
"""libsndfile's command: make a WAV file of it where that can hold as much."""

MARK = "stemd: "
"""The comment of each stem begins with it."""

LONGEST_TAG = 1_000
"""Characters."""

PROBE_BYTES = 2**16
"""Bytes that a disk must accept; otherwise it counts as full."""


class StemFile:
    """One stem that is written under another name first.

    Parameters
    ----------
    target : Path
        The final name.
    part : Path
        The present name, of an empty file.
    descriptor : int
        Of that file.
    samplerate : int
    kind, subtype : str
        As in soundfile.

    Attributes
    ----------
    target : Path
    clipped : int
        Samples that exceeded full scale and were clipped.
    """

    def __init__(
        self, target: Path, part: Path, descriptor: int, samplerate: int, kind: str, subtype: str
    ) -> None:
        self.target = target
        self.clipped = 0
        self._part = part
        self._descriptor = descriptor
        self._frames = 0
        self._cuts = subtype != "FLOAT"
        with self._as_the_system_says():
            self._file = soundfile.SoundFile(
                os.fsencode(part), "w", samplerate, CHANNELS, subtype=subtype, format=kind
            )
        if kind == "RF64":
            _snd, _ffi = soundfile._snd, soundfile._ffi  # it has no other way to send commands
            _snd.sf_command(self._file._file, RF64_AUTO_DOWNGRADE, _ffi.NULL, _snd.SF_TRUE)

    def tag(self, tags: Mapping[str, str]) -> None:
        """Write tags, by soundfile's names for them; before the first block."""
        with self._as_the_system_says():
            for name, text in tags.items():
                setattr(self._file, name, text)

    def write(self, block: Waveform) -> None:
        """Append a block [shape=(CHANNELS, frames)]."""
        if self._cuts:
            self.clipped += int((np.abs(block) > 1).sum())
        self._frames += block.shape[1]
        with self._as_the_system_says():
            self._file.write(block.T)

    def finish(self) -> None:
        """Close the file, and make sure that it is complete on the disk."""
        with self._as_the_system_says():
            self._file.close()
            if soundfile.info(os.fsencode(self._part)).frames != self._frames:
                raise AssertionError

    def put_in_place(self) -> None:
        """Rename it to its final name."""
        self._part.replace(self.target)

    def close(self) -> None:
        """Close the file, also after errors."""
        with suppress(soundfile.LibsndfileError):
            self._file.close()

    @contextmanager
    def _as_the_system_says(self) -> Iterator[None]:
        """Raise the system's error instead of libsndfile's, which only knows of a "system error".

        An AssertionError is how soundfile says that not all was written.
        """
        try:
            yield
        except (soundfile.LibsndfileError, AssertionError) as error:
            end = os.fstat(self._descriptor).st_size
            os.posix_fallocate(self._descriptor, end, PROBE_BYTES)  # fails for the same reason
            raise OSError(
                EIO, f"not all could be written ({error or 'without a reason'})"
            ) from None


def origin_of(path: Path) -> str:
    """Return which song a file is a stem of, and how it was made; empty if it is none."""
    try:
        with open_ordinary(path), soundfile.SoundFile(os.fsencode(path)) as file:
            comment: str = file.comment
    except (OSError, soundfile.SoundFileError, TypeError):
        return ""
    return comment.removeprefix(MARK) if comment.startswith(MARK) else ""


@dataclass(frozen=True)
class Destination:
    """Where stems go, and as what.

    Attributes
    ----------
    folder : Path
        Made if missing.
    suffix : str
        "wav" or "flac". Where WAV cannot hold all frames, the file is RF64.
    subtype : str
        "PCM_24" or "FLOAT".
    may_replace : bool
        Files of other songs that are there already are replaced, once the new ones are complete.
    song, settings : str
        Which song the stems are of, and how they are made; they are written into the files. Files
        of the same song are replaced in any case.
    tags : mapping
        Of the song, by soundfile's names for them.
    """

    folder: Path
    suffix: str = "wav"
    subtype: str = "FLOAT"
    may_replace: bool = False
    song: str = ""
    settings: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def targets(self, names: Iterable[str]) -> list[Path]:
        """Return the file of each name."""
        return [self.folder / f"{name}.{self.suffix}" for name in names]

    def tags_of(self, name: str) -> dict[str, str]:
        """Return the tags of a stem's file: the song's, its title with the stem's name added."""
        tags = {key: text[:LONGEST_TAG] for key, text in self.tags.items()}
        if "title" in tags:
            tags["title"] += f" ({name})"
        if self.song:
            tags["comment"] = MARK + self._origin
        return tags

    def is_done(self, names: Iterable[str]) -> bool:
        """Whether all files are there already, of the same song and made in the same way."""
        return all(origin_of(target) == self._origin for target in self.targets(names))

    def check_free(self, names: Iterable[str]) -> None:
        """Raise AudioFileError if a file is there that must not be replaced."""
        if self.may_replace:
            return
        for target in self.targets(names):
            is_own = self.song and origin_of(target).startswith(f"{self.song}; ")
            if os.path.lexists(target) and not is_own:
                raise AudioFileError(
                    f"{target} is there already, perhaps of another song: give another folder "
                    "(-o), or replace it (--force)"
                )

    @property
    def _origin(self) -> str:
        return f"{self.song}; {self.settings}"


@contextmanager
def writing_stems(
    destination: Destination, names: Sequence[str], samplerate: int, expected: int
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

    Raises
    ------
    AudioFileError
        If a file cannot be written, or must not be replaced.
    """
    folder, subtype = destination.folder, destination.subtype
    kind = "RF64" if destination.suffix == "wav" else destination.suffix.upper()
    try:
        with ExitStack() as stack:
            destination.check_free(names)
            stack.enter_context(_folder(folder))
            files = []
            for name, target in zip(names, destination.targets(names), strict=True):
                if target.is_dir():
                    raise IsADirectoryError(EISDIR, f"{target} is a folder")
                part, opened = stack.enter_context(part_of(target))
                file = StemFile(target, part, opened.fileno(), samplerate, kind, subtype)
                stack.callback(file.close)
                file.tag(destination.tags_of(name))
                files.append(file)
            yield files
            for file in files:
                file.finish()
            destination.check_free(names)  # another program may have written one meanwhile
            for file in files:
                file.put_in_place()
    except OSError as error:
        reason, remedy = error.strerror or str(error), "give another folder (-o)"
        if error.errno in (ENOSPC, EDQUOT):
            if most := len(names) * CHANNELS * expected * BYTES[subtype] / 1e6:
                reason += f": they take up to {most:.0f} MB"
            remedy = f"make room, or {remedy}"
        raise AudioFileError(f"cannot write the stems into {folder}: {reason}; {remedy}") from None


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
