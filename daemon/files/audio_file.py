"""Reads songs, and writes stems: each file is complete, or does not exist."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from errno import EDQUOT, EINVAL, EIO, EISDIR, ENOSPC
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from stemd.daemon.errors import AudioFileError
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import CHANNELS
from stemd.tflite_models.files import open_ordinary, part_of

BLOCK = 65_536
"""Frames read at once."""

BYTES = {"PCM_24": 3, "FLOAT": 4}
"""Bytes of one sample in a file."""

MAX_WAV = 2**32 - 2**16
"""Bytes of samples that a WAV file can hold, minus some for its header."""

PROBE_BYTES = 2**16
"""Bytes that a disk must accept; otherwise it counts as full."""

MIN_SAMPLERATE, MAX_SAMPLERATE = 4_000, 384_000


class Song:
    """A file to separate; mono is played on both channels.

    Attributes
    ----------
    samplerate : int
        Frames per second.
    frames : int
        Length as the file declares it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with open_ordinary(path):  # libsndfile would wait for a FIFO
                self._file = soundfile.SoundFile(os.fsencode(path))
        except (soundfile.SoundFileError, OSError) as error:
            raise AudioFileError(f"cannot read {path}: {_reason(error)}") from None
        except TypeError:  # soundfile goes by the suffix, and needs the rest as arguments
            raise AudioFileError(
                f"cannot read {path}: raw samples do not say what they are; give them a header "
                "(sox -r 44100 -e signed -b 16 -c 2 IN.raw OUT.wav)"
            ) from None
        self.samplerate: int = self._file.samplerate
        self.frames: int = self._file.frames
        try:
            self._check()
        except AudioFileError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def blocks(self) -> Iterator[Waveform]:
        """Yield the whole song in blocks [shape=(CHANNELS, frames)].

        Raises
        ------
        AudioFileError
            If it cannot be decoded to its end, or a sample is no number.
        """
        position = 0
        while len(block := self._read()):
            self._check_finite(block, position)
            position += len(block)
            yield np.broadcast_to(block.T, (CHANNELS, len(block)))
        if position < self.frames:
            raise AudioFileError(
                f"{self.path} is truncated: it declares {self.frames} frames and holds {position}; "
                "get a whole copy, or make one of what there is (sox)"
            )

    def check_not_among(self, targets: Iterable[Path]) -> None:
        """Raise an error if a stem would replace the song."""
        for target in targets:
            if target.exists() and target.samefile(self.path):
                raise AudioFileError(
                    f"a stem would overwrite the song itself, {self.path}: give another folder (-o)"
                )

    def _check(self) -> None:
        if self._file.channels > CHANNELS:
            raise AudioFileError(
                f"{self.path} has {self._file.channels} channels, and stemd separates mono and "
                "stereo: mix it down first (sox IN OUT remix 1 2)"
            )
        if not MIN_SAMPLERATE <= self.samplerate <= MAX_SAMPLERATE:
            raise AudioFileError(
                f"{self.path} has {self.samplerate} frames per second, and stemd takes "
                f"{MIN_SAMPLERATE} to {MAX_SAMPLERATE}: convert it first (sox IN -r 44100 OUT)"
            )
        if self.frames == 0:
            raise AudioFileError(f"{self.path} is empty: it holds no audio to separate")

    def _read(self) -> NDArray[np.float32]:
        try:
            block: NDArray[np.float32] = self._file.read(BLOCK, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise AudioFileError(f"cannot read {self.path} to its end: {_reason(error)}") from None
        return block

    def _check_finite(self, block: NDArray[np.float32], position: int) -> None:
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise AudioFileError(
                f"{self.path} holds samples that are not numbers (NaN or infinity), the first at "
                f"frame {position + int(np.argmin(finite))}: repair or export it again"
            )


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


@contextmanager
def writing_stems(
    folder: Path, stems: Sequence[str], samplerate: int, frames: int, suffix: str, subtype: str
) -> Iterator[list[StemFile]]:
    """Open a file for each stem; at the end all get their names, or all are removed.

    Parameters
    ----------
    folder : Path
        Made if missing.
    stems : sequence of str
        The files' names without suffix.
    samplerate : int
        Frames per second.
    frames : int
        How many frames will be written; RF64 replaces WAV if WAV cannot hold as many.
    suffix : str
        "wav" or "flac".
    subtype : str
        "PCM_24" or "FLOAT".

    Raises
    ------
    AudioFileError
        If a file cannot be written.
    """
    targets = [folder / f"{stem}.{suffix}" for stem in stems]
    too_long = suffix == "wav" and frames * CHANNELS * BYTES[subtype] > MAX_WAV
    kind = "RF64" if too_long else suffix.upper()
    try:
        with ExitStack() as stack:
            stack.enter_context(_folder(folder))
            files = []
            for target in targets:
                if target.is_dir():
                    raise IsADirectoryError(EISDIR, f"{target} is a folder")
                part, opened = stack.enter_context(part_of(target))
                files.append(StemFile(target, part, opened.fileno(), samplerate, kind, subtype))
                stack.callback(files[-1].close)
            yield files
            for file in files:
                file.finish()
            for file in files:
                file.put_in_place()
    except OSError as error:
        reason, remedy = error.strerror or str(error), "give another folder (-o)"
        if error.errno in (ENOSPC, EDQUOT):
            most = len(stems) * CHANNELS * frames * BYTES[subtype] / 1e6
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


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, IsADirectoryError):
        return "it is a folder; give the files in it one by one"
    if isinstance(error, OSError):
        is_other_kind = error.errno == EINVAL  # of `open_ordinary`
        remedy = ": write what comes out of it into one first (cat IN > OUT.wav)"
        return f"{error.strerror}{remedy if is_other_kind else ''}"
    detail = getattr(error, "error_string", str(error)).rstrip(".")
    return f"{detail} (stemd reads WAV, FLAC, OGG and MP3)"
