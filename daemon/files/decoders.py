"""Two decoders of songs: libsndfile for six formats that it reads exactly, ffmpeg for the rest."""

import os
import re
import selectors
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shutil import which

import numpy as np
import soundfile
from numpy.typing import NDArray

from stemd.daemon.errors import AudioFileError
from stemd.daemon.files.damage import DamageReport
from stemd.daemon.files.ffmpeg_log import FILTERS, LEVEL, TAGS, FfmpegLog
from stemd.daemon.files.ogg import ends_early
from stemd.daemon.files.wav_header import read_wav_header
from stemd.daemon.packages import FFMPEG, install
from stemd.dsp.scheme import CHANNELS
from stemd.tflite_models.files import open_ordinary

BLOCK = 65_536
"""Frames, or bytes of a pipe, read at once."""

HEAD_BYTES = 4096
"""Read of a file to see what it is."""

RAW = (".raw", ".pcm")
"""Suffixes of samples without a header."""

_NO_SOUND = re.compile("does not contain any stream|Error opening output file")
"""ffmpeg's reasons that it has nothing to write; the second is of version 7."""

UNKNOWN = 2**62
"""libsndfile's length of a file that does not declare one is at least that."""

_HEADS = (
    rb"RIFF....WAVE",
    rb"RF64....WAVE",
    rb"riff\x2e\x91\xcf\x11",  # W64
    rb"FORM....AIF[FC]",
    rb"caff",
    rb"fLaC",
)
_HEAD = re.compile(b"|".join(_HEADS), re.DOTALL)

_EXACT = re.compile(r"PCM_\w+|FLOAT|DOUBLE|[AU]LAW|ALAC_\w+")
"""Encodings without a decoder that could lose its place."""

_SHORTER = re.compile(
    r"^\s*(?:data|SSND|[Rr]iff(?: size)?)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE
)
"""libsndfile's note that a file declares more bytes than it has."""

_NO_LENGTH = (0, 0xFFFFFFFF, 2**64 - 1)
"""What recorders declare that cannot go back and write the length."""


TO_STEREO = ("-ac", str(CHANNELS))
"""ffmpeg's options for two channels."""

MONO_GAIN = np.float32(2**0.5)
"""ffmpeg plays mono 3 dB softer on two channels."""


class UndecodableError(Exception):
    """A decoder gives up where another one may get farther."""


class Decoder(ABC):
    """Decodes one song once.

    Attributes
    ----------
    samplerate : int
        Frames per second.
    channels : int
    mask : int
        The speakers, as in the header of a WAV file; 0 if unknown.
    tags : mapping
        Of the song, by soundfile's names for them.
    """

    samplerate: int
    channels: int
    mask: int
    tags: Mapping[str, str]

    @property
    @abstractmethod
    def damage(self) -> DamageReport:
        """What was missing in what was decoded so far."""

    @property
    @abstractmethod
    def expected(self) -> int:
        """How many frames the song declares, 0 if unknown; it may be wrong."""

    @abstractmethod
    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the song [shape=(frames, channels)], with silence where something is missing."""

    @abstractmethod
    def close(self) -> None:
        """Free what it holds; it may be in the middle of the song."""


def is_sndfiles(path: Path) -> bool:
    """Whether a file is of a kind that libsndfile reads exactly; OSError if unreadable."""
    with open_ordinary(path) as file:
        return _HEAD.match(file.read(HEAD_BYTES)) is not None


class SndfileDecoder(Decoder):
    """Decodes by libsndfile.

    Raises
    ------
    UndecodableError
        Of `blocks` and here: ffmpeg may get farther.
    """

    def __init__(self, path: Path, any_encoding: bool = False) -> None:
        try:
            self._file = soundfile.SoundFile(os.fsencode(path))
        except (soundfile.SoundFileError, TypeError) as error:  # the latter for ".raw"
            raise UndecodableError from error
        if not self._file.frames or not (any_encoding or _EXACT.fullmatch(self._file.subtype)):
            self.close()
            raise UndecodableError
        self.samplerate, self.channels = self._file.samplerate, self._file.channels
        self.mask = _mask_of(path)
        self.tags = {name: text for name in TAGS.values() if (text := getattr(self._file, name))}
        self._damage = DamageReport(self.samplerate)

    @property
    def damage(self) -> DamageReport:
        """What was missing so far."""
        return self._damage

    @property
    def expected(self) -> int:
        """The frames that the file declares, 0 if unknown."""
        frames: int = self._file.frames
        return frames if frames < UNKNOWN else 0

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the song [shape=(frames, channels)]."""
        position = 0
        try:
            while len(block := self._file.read(BLOCK, dtype="float32", always_2d=True)):
                position += len(block)
                yield block
        except soundfile.LibsndfileError as error:
            raise UndecodableError from error
        if position < self.expected:
            raise UndecodableError
        if missing := missing_frames(self._file):
            self._damage.note(position, missing)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def missing_frames(file: soundfile.SoundFile) -> int:
    """Return how many frames a file lacks of those that its header declares."""
    found = _SHORTER.search(file.extra_info)
    if not found or int(found[1]) in _NO_LENGTH:
        return 0
    held = int(found[2])
    return round((int(found[1]) - held) * file.frames / held) if held else 0


def _mask_of(path: Path) -> int:
    with open_ordinary(path) as file:
        head = file.read(HEAD_BYTES)
    header = read_wav_header(head) if head[8:12] == b"WAVE" else None
    return header.mask if header else 0


def _is_text(path: Path) -> bool:
    """Whether a file begins with text, which has no control characters but white space."""
    with open_ordinary(path) as file:
        head = file.read(HEAD_BYTES)
    return head != b"" and re.search(rb"[\x00-\x08\x0e-\x1f\x7f]", head) is None


class FfmpegDecoder(Decoder):
    """Decodes by the ffmpeg program, which writes a WAV file without end into a pipe.

    Its times of what it decodes, and its errors, are in its log (`FfmpegLog`).

    Parameters
    ----------
    path : Path
        None for standard input.
    name : str
        As messages call it.
    """

    def __init__(self, path: Path | None, name: str) -> None:
        program = which("ffmpeg")
        if not program:
            raise AudioFileError(
                f"cannot read {name}: stemd reads WAV, RF64, W64, AIFF, CAF and FLAC itself, and "
                f"everything else by ffmpeg, which is not installed: {install(FFMPEG)}"
            )
        if path and path.suffix.lower() in RAW:  # in which ffmpeg finds all kinds of sound
            raise AudioFileError(
                f"cannot read {name}: raw samples do not say what they are: convert them first "
                "(ffmpeg -f s16le -ar 44100 -ac 2 -i IN OUT.wav)"
            )
        self._path, self._name = path, name
        self._is_mono = False
        self._source = "pipe:0" if path is None else f"file:{path}"
        # From a pipe it can be opened only once: it is mixed down there.
        self._open(program, TO_STEREO if path is None else ())
        if self.channels < CHANNELS:  # a stereo song may follow, as behind an advertisement
            self.close()
            self._open(program, TO_STEREO)

    @property
    def expected(self) -> int:
        """The frames that the file declares, 0 if unknown."""
        return self._log.expected

    @property
    def damage(self) -> DamageReport:
        """What was missing so far."""
        return self._log.damage

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the song [shape=(frames, channels)]."""
        is_open = True
        while is_open:
            is_open = self._pump()
            yield from self._ready_pieces()
        yield from self._whole_frames(len(self._sound))  # what a conversion gave in addition
        if not self._log.samplerate:
            raise AudioFileError(f"cannot read {self._name}: {self._why_nothing()}")
        self._log.end(self._path is not None and ends_early(self._path))
        if (status := self._process.wait()) < 0:
            raise AudioFileError(
                f"cannot read {self._name}: ffmpeg was killed by signal {-status}; try again, with "
                "more memory free"
            )

    def close(self) -> None:
        """End the program."""
        self._process.kill()
        self._process.wait()
        self._pipes.close()
        for pipe, _ in self._opened:
            if pipe:
                pipe.close()

    def _open(self, program: str, options: Sequence[str]) -> None:
        """Start the program, and read the header."""
        self._log = FfmpegLog()
        self._sound = bytearray()
        self._process = subprocess.Popen(
            [
                *(program, "-nostdin", "-hide_banner", "-nostats", "-loglevel", LEVEL),
                *("-i", self._source, "-vn", "-sn", "-dn", "-af", FILTERS, "-map_metadata", "-1"),
                *("-bitexact", *options, "-c:a", "pcm_f32le", "-f", "wav", "pipe:1"),
            ],
            stdin=None if self._path is None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._pipes = selectors.DefaultSelector()
        self._opened = [
            (self._process.stdout, self._sound.extend),
            (self._process.stderr, self._log.feed),
        ]
        for pipe, take in self._opened:
            if pipe:
                self._pipes.register(pipe, selectors.EVENT_READ, take)
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def _read_header(self) -> None:
        """Read until the sound begins."""
        header = None
        while not (header and header.data_at) and self._pump():
            header = read_wav_header(self._sound)
        if not (header and header.data_at):
            raise AudioFileError(f"cannot read {self._name}: {self._why_nothing()}")
        if self._log.is_protected:
            raise AudioFileError(
                f"cannot read {self._name}: it is protected (DRM), and only its seller's programs "
                "play it: get a copy without protection"
            )
        del self._sound[: header.data_at]
        self.samplerate, self.channels, self.mask = header.samplerate, header.channels, header.mask
        self.tags = self._log.tags

    def _pump(self) -> bool:
        """Read what the pipes hold; return whether one is still open."""
        for key, _ in self._pipes.select():
            data = os.read(key.fd, BLOCK)
            key.data(data)
            if not data:
                self._pipes.unregister(key.fd)
        return bool(self._pipes.get_map())

    def _ready_pieces(self) -> Iterator[NDArray[np.float32]]:
        """Yield the reported pieces that have arrived, like ones in one block."""
        pieces, ready = self._log.pieces, 0
        while pieces:
            piece = pieces[0]
            size = piece.frames * 4 * self.channels
            if piece.is_sound and len(self._sound) < ready + size:
                break
            pieces.popleft()
            if not piece.is_sound or piece.is_mono != self._is_mono:
                yield from self._whole_frames(ready)
                ready = 0
            if piece.is_sound:
                ready += size
                self._is_mono = piece.is_mono
            else:
                yield from self._silence(piece.frames)
        yield from self._whole_frames(ready)

    def _whole_frames(self, most_bytes: int) -> Iterator[NDArray[np.float32]]:
        """Yield the sound's first frames."""
        taken = most_bytes - most_bytes % (4 * self.channels)
        if taken:
            block = np.frombuffer(bytes(self._sound[:taken]), "<f4").reshape(-1, self.channels)
            del self._sound[:taken]
            yield block * MONO_GAIN if self._is_mono and self.channels == CHANNELS else block

    def _silence(self, frames: int) -> Iterator[NDArray[np.float32]]:
        while frames:
            length = min(frames, BLOCK)
            yield np.zeros((length, self.channels), np.float32)
            frames -= length

    def _why_nothing(self) -> str:
        """Return why ffmpeg gave no sound, and what to do."""
        errors = self._log.errors
        if self._path and not self._path.stat().st_size:
            return "it is empty; get a whole copy"
        if self._path and _is_text(self._path):
            return (
                "it is a text file, and no audio file: name the songs themselves (of playlists, "
                "stemd reads M3U)"
            )
        if not errors or any(_NO_SOUND.search(each) for each in errors):
            return "it holds no sound"
        remedy = "get a whole copy, or convert it to WAV or FLAC first"
        if self._path is None:
            remedy = "pipe a whole song in; M4A has its index at the end, and must be a file"
        said = errors[0].removeprefix(f"{self._source}: ").removeprefix("Error opening input: ")
        return f"ffmpeg says: {said}; {remedy}"
