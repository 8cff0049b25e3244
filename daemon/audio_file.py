"""Reads songs, and writes stems so that a file is whole or not there."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from stemd.daemon.errors import AudioFileError
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import CHANNELS

BLOCK = 65_536
"""Frames read at once."""

MIN_SAMPLERATE, MAX_SAMPLERATE = 4_000, 384_000


class Song:
    """A file to take apart; mono is heard on both channels.

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
            self._file = soundfile.SoundFile(path)
        except (soundfile.LibsndfileError, OSError) as error:
            raise AudioFileError(f"cannot read {path}: {_reason(path, error)}") from None
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
            reason = _reason(self.path, error)
            raise AudioFileError(f"cannot read {self.path} to its end: {reason}") from None
        return block

    def _check_finite(self, block: NDArray[np.float32], position: int) -> None:
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise AudioFileError(
                f"{self.path} holds samples that are no numbers (NaN or infinity), the first at "
                f"frame {position + int(np.argmin(finite))}: repair or export it again"
            )


class StemFile:
    """One stem being written beside the name it will have.

    Attributes
    ----------
    clipped : int
        Samples that went beyond full scale and were cut.
    """

    def __init__(self, target: Path, samplerate: int, subtype: str) -> None:
        self.target = target
        self.clipped = 0
        self._frames = 0
        self._cuts = subtype != "FLOAT"
        with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            self._part = Path(file.name)
        self._file = soundfile.SoundFile(
            self._part,
            "w",
            samplerate,
            CHANNELS,
            subtype=subtype,
            format=target.suffix[1:].upper(),
        )

    def write(self, block: Waveform) -> None:
        """Append a block [shape=(CHANNELS, frames)]."""
        if self._cuts:
            self.clipped += int((np.abs(block) > 1).sum())
        self._frames += block.shape[1]
        # soundfile asserts that all was written; a full disk breaks that.
        self._file.write(block.T)

    def finish(self) -> None:
        """Close the file, and make sure that all of it is there."""
        self._file.close()
        if soundfile.info(self._part).frames != self._frames:
            raise AssertionError
        umask = os.umask(0)
        os.umask(umask)
        self._part.chmod(0o666 & ~umask)

    def put_in_place(self) -> None:
        """Give it its name."""
        self._part.replace(self.target)

    def discard(self) -> None:
        """Remove what was written, unless it was put in place."""
        with suppress(soundfile.LibsndfileError, AssertionError):
            self._file.close()
        self._part.unlink(missing_ok=True)


@contextmanager
def writing_stems(
    folder: Path, stems: Sequence[str], samplerate: int, suffix: str, subtype: str
) -> Iterator[list[StemFile]]:
    """Open a file for each stem; all get their names at the end, or none is left behind.

    Parameters
    ----------
    folder : Path
        Made if missing.
    stems : sequence of str
        The files' names without suffix.
    samplerate : int
        Frames per second.
    suffix : str
        "wav" or "flac".
    subtype : str
        "PCM_24" or "FLOAT".

    Raises
    ------
    AudioFileError
        If a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            files = []
            for stem in stems:
                files.append(StemFile(folder / f"{stem}.{suffix}", samplerate, subtype))
                stack.callback(files[-1].discard)
            yield files
            for file in files:
                file.finish()
            for file in files:
                file.put_in_place()
    except (OSError, AssertionError, soundfile.LibsndfileError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "the disk is full"
        raise AudioFileError(
            f"cannot write the stems into {folder}: {reason}; nothing was left there"
        ) from None


def _reason(path: Path, error: Exception) -> str:
    if not path.exists():
        return "there is no such file"
    if path.is_dir():
        return "it is a folder"
    if not os.access(path, os.R_OK):
        return "permission denied"
    detail = getattr(error, "error_string", str(error)).rstrip(".")
    return f"{detail} (stemd reads WAV, FLAC, OGG and MP3)"
