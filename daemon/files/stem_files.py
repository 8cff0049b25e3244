"""Writes stems: each file is complete, or does not exist."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from errno import EDQUOT, EIO, EISDIR, ENOSPC
from pathlib import Path

import numpy as np
import soundfile

from stemd.daemon.errors import AudioFileError
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import CHANNELS
from stemd.tflite_models.files import part_of

BYTES = {"PCM_24": 3, "FLOAT": 4}
"""Bytes of one sample in a file."""

RF64_AUTO_DOWNGRADE = 0x1210
"""libsndfile's command: make a WAV file of it where that can hold as much."""

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
        Files that are there already are replaced, once the new ones are complete.
    """

    folder: Path
    suffix: str = "wav"
    subtype: str = "FLOAT"
    may_replace: bool = False

    def targets(self, names: Iterable[str]) -> list[Path]:
        """Return the file of each name."""
        return [self.folder / f"{name}.{self.suffix}" for name in names]

    def check_free(self, names: Iterable[str]) -> None:
        """Raise AudioFileError if a file is there that must not be replaced."""
        if self.may_replace:
            return
        for target in self.targets(names):
            if os.path.lexists(target):
                raise AudioFileError(
                    f"{target} is there already, perhaps of another song: give another folder "
                    "(-o), or replace it (--force)"
                )


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
            for target in destination.targets(names):
                if target.is_dir():
                    raise IsADirectoryError(EISDIR, f"{target} is a folder")
                part, opened = stack.enter_context(part_of(target))
                files.append(StemFile(target, part, opened.fileno(), samplerate, kind, subtype))
                stack.callback(files[-1].close)
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
