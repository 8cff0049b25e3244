"""Opens songs of every kind, and reads them to their end, damaged or not."""

import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from errno import EINVAL
from pathlib import Path
from types import TracebackType
from typing import Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from stemd.daemon.errors import AudioFileError
from stemd.daemon.files.damage import DamageReport
from stemd.daemon.files.decoders import (
    Decoder,
    FfmpegDecoder,
    SndfileDecoder,
    UndecodableError,
    is_sndfiles,
)
from stemd.daemon.files.mixdown import mixdown, to_stereo
from stemd.dsp.arrays import Waveform
from stemd.tflite_models.files import open_ordinary

STANDARD_INPUT = Path("-")

STANDARD_INPUT_NAME = "stdin"
"""In the names of its stems."""

READ_BYTES = 2**20
"""Of a song, read at once for its fingerprint."""

MIN_SAMPLERATE, MAX_SAMPLERATE = 100, 1_536_000
"""Frames per second; a damaged header may declare any."""

LOUDEST = 1e6
"""What is further beyond full scale is no sound, but damage."""


class Song:
    """A song to separate; mono is played on both channels, more than two are mixed down.

    Parameters
    ----------
    path : Path
        `STANDARD_INPUT` for what is piped in.
    is_bundled : bool
        It is stemd's own, which libsndfile reads right whatever its encoding.

    Attributes
    ----------
    path : Path
    name : str
        As messages call it.
    samplerate : int
        Frames per second.
    channels : int
        Of the file.

    Raises
    ------
    AudioFileError
        It cannot be opened, or holds no sound.
    """

    def __init__(self, path: Path, is_bundled: bool = False) -> None:
        self.path = path
        self.name = shown_name(path)
        self._source = _standard_input() if path == STANDARD_INPUT else path
        try:
            self._decoder = self._open(is_bundled)
        except OSError as error:
            raise AudioFileError(f"cannot read {self.name}: {_reason(error)}") from None
        self.samplerate = self._decoder.samplerate
        if not MIN_SAMPLERATE <= self.samplerate <= MAX_SAMPLERATE:
            self.close()
            raise AudioFileError(
                f"{self.name} has {self.samplerate} frames per second, and stemd takes "
                f"{MIN_SAMPLERATE} to {MAX_SAMPLERATE}: convert it first (ffmpeg -i IN -ar 44100 "
                "OUT.wav)"
            )
        self.channels = self._decoder.channels
        self._not_numbers = DamageReport(self.samplerate)
        self._gains = mixdown(self.channels, self._decoder.mask) if self.channels > 2 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def expected(self) -> int:
        """How many frames it declares, 0 if unknown; only reading it shows how many it has."""
        return self._decoder.expected

    @property
    def damage(self) -> DamageReport:
        """What was missing in what was read so far; silence is in its place."""
        report = DamageReport(self.samplerate)
        report.add(self._decoder.damage)
        report.add(self._not_numbers)
        return report

    @property
    def tags(self) -> Mapping[str, str]:
        """Its title, artist and so on, by soundfile's names for them."""
        return self._decoder.tags

    @property
    def fingerprint(self) -> str:
        """Name, size and checksum, as text; empty for standard input.

        Raises
        ------
        AudioFileError
            It cannot be read to its end.
        """
        if self.path == STANDARD_INPUT:
            return ""
        try:
            with open_ordinary(self.path) as file:
                checksum = 0
                while data := file.read(READ_BYTES):
                    checksum = crc32(data, checksum)
                size = file.tell()
        except OSError as error:
            raise AudioFileError(f"cannot read {self.name}: {_reason(error)}") from None
        return f"{self.path.name}, {size} bytes, {checksum:08x}"

    def close(self) -> None:
        """Close the file, and end the program that decodes it."""
        self._decoder.close()

    def blocks(self) -> Iterator[Waveform]:
        """Yield the whole song, once, in blocks [shape=(CHANNELS, frames)].

        Raises
        ------
        AudioFileError
            It holds no sound, or the decoder failed.
        """
        position = 0
        for block in self._decoded():
            yield to_stereo(self._cleaned(block, position), self._gains)
            position += len(block)

    def is_file(self, path: Path) -> bool:
        """Whether a file is the song itself."""
        with suppress(OSError):  # one of them is not there
            return bool(self._source and path.samefile(self._source))
        return False

    def _open(self, is_bundled: bool) -> Decoder:
        if self._source is None:
            return FfmpegDecoder(None, self.name)
        if is_sndfiles(self._source) or is_bundled:
            with suppress(
                UndecodableError
            ):  # a recorder that died, or an encoding that is not its own
                return SndfileDecoder(self._source, is_bundled)
        return FfmpegDecoder(self._source, self.name)

    def _decoded(self) -> Iterator[NDArray[np.float32]]:
        """Yield the decoder's blocks; where libsndfile gives up, ffmpeg goes on."""
        position = 0
        try:
            for block in self._decoder.blocks():
                position += len(block)
                yield block
        except UndecodableError:
            self._decoder.close()
            self._decoder = FfmpegDecoder(self._source, self.name)
            for block in self._decoder.blocks():
                skipped = min(position, len(block))
                position -= skipped
                if skipped < len(block):
                    yield block[skipped:]

    def _cleaned(self, block: NDArray[np.float32], position: int) -> NDArray[np.float32]:
        """Return a block with silence instead of what are no samples, and note those."""
        is_sound = np.abs(block) < LOUDEST  # false for NaN
        if is_sound.all():
            return block
        broken = np.flatnonzero(~is_sound.all(axis=1))
        runs = np.split(broken, np.flatnonzero(np.diff(broken) > 1) + 1)
        for run in runs:
            self._not_numbers.note(position + int(run[0]), len(run))
        return np.where(is_sound, block, np.float32(0))


def shown_name(path: Path) -> str:
    """Return what messages call a song."""
    return "standard input" if path == STANDARD_INPUT else str(path)


def base_name(path: Path) -> str:
    """Return a song's name without its suffix, for the names of its stems."""
    return STANDARD_INPUT_NAME if path == STANDARD_INPUT else path.stem


def is_piped(path: Path) -> bool:
    """Whether a song can be read only once."""
    return path == STANDARD_INPUT and not stat.S_ISREG(os.fstat(0).st_mode)


def _standard_input() -> Path | None:
    """Return where to open it anew if it is an ordinary file, None if it is a pipe."""
    if sys.stdin and sys.stdin.isatty():
        raise AudioFileError("standard input is the terminal: pipe a song in, or name a file")
    if os.path.samestat(os.fstat(0), os.stat(os.devnull)):  # noqa: PTH116 (it is no path of a user's)
        raise AudioFileError("standard input is empty: pipe a song in, or name a file")
    # By this process's number, for ffmpeg opens it too.
    return None if is_piped(STANDARD_INPUT) else Path(f"/proc/{os.getpid()}/fd/0")


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        is_address = re.search(r"(^|/)(?!file)\w{2,}:/", os.fsdecode(error.filename or ""))
        return f"there is no such file{'; download it first' if is_address else ''}"
    if isinstance(error, IsADirectoryError):
        return "it is a folder; give the files in it one by one"
    is_other_kind = error.errno == EINVAL  # of `open_ordinary`
    remedy = ": pipe what comes out of it in (… | stemd separate -)" if is_other_kind else ""
    return f"{error.strerror}{remedy}"
