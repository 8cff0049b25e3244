"""One stem's file, written by libsndfile or encoded by ffmpeg."""

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EIO
from pathlib import Path
from shutil import which
from tempfile import TemporaryFile

import numpy as np
import soundfile

from stemd.daemon.errors import AudioFileError
from stemd.daemon.packages import FFMPEG, install
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import CHANNELS
from stemd.tflite_models.files import open_ordinary

SUBTYPES = {"wav": "FLOAT", "flac": "PCM_24"}
"""What libsndfile calls the samples of the formats that it writes, by default."""

ENCODERS = {
    "mp3": ("-c:a", "libmp3lame", "-q:a", "0", "-f", "mp3"),
    "ogg": ("-c:a", "libvorbis", "-q:a", "8", "-f", "ogg"),
    "opus": ("-c:a", "libopus", "-b:a", "192k", "-f", "opus"),
    "m4a": ("-c:a", "aac", "-b:a", "256k", "-movflags", "+faststart", "-f", "ipod"),
}
"""ffmpeg's options for the formats that it writes."""

RF64_AUTO_DOWNGRADE = 0x1210
"""libsndfile's command: make a WAV file of RF64 where that can hold as much."""

DAMAGE = "user.stemd.damage"
"""The extended attribute of a file in which it is noted what its song lacked."""

PROBE_S = 10.0
"""How long ffprobe may take for a file's tags."""

PROBE_BYTES = 2**16
"""Bytes that a disk must accept; otherwise it counts as full."""


class StemFile(ABC):
    """A stem that is written under another name first.

    Parameters
    ----------
    target : Path
        The final name.
    part : Path
        The present name, of an empty file.
    descriptor : int
        Of that file.

    Attributes
    ----------
    target : Path
    clipped : int
        Samples that exceeded full scale and were clipped.
    """

    def __init__(self, target: Path, part: Path, descriptor: int) -> None:
        self.target = target
        self.clipped = 0
        self._part = part
        self._descriptor = descriptor

    @abstractmethod
    def write(self, block: Waveform) -> None:
        """Append a block [shape=(CHANNELS, frames)]."""

    @abstractmethod
    def finish(self) -> None:
        """Close the file, and make sure that it is complete on the disk."""

    @abstractmethod
    def close(self) -> None:
        """Close the file, also after errors."""

    def put_in_place(self) -> None:
        """Rename it to its final name."""
        self._part.replace(self.target)

    def sync(self) -> None:
        """Wait until the disk has all of a finished file."""
        os.fsync(self._descriptor)

    def note_damage(self, damage: str) -> None:
        """Note in the file what its song lacked, where the file system takes such a note."""
        with suppress(OSError):
            os.setxattr(self._descriptor, DAMAGE, damage.encode())

    def _check_disk(self) -> None:
        """Raise the system's error if the disk takes no more."""
        end = os.fstat(self._descriptor).st_size
        os.posix_fallocate(self._descriptor, end, PROBE_BYTES)


class PlainFile(StemFile):
    """A stem that libsndfile writes.

    Parameters
    ----------
    target, part, descriptor
        See `StemFile`.
    samplerate : int
    kind, subtype : str
        As in soundfile.
    tags : mapping
        By soundfile's names for them.
    """

    def __init__(
        self,
        target: Path,
        part: Path,
        descriptor: int,
        samplerate: int,
        kind: str,
        subtype: str,
        tags: Mapping[str, str],
    ) -> None:
        super().__init__(target, part, descriptor)
        self._frames = 0
        self._cuts = subtype != "FLOAT"
        with self._as_the_system_says():
            self._file = soundfile.SoundFile(
                os.fsencode(part), "w", samplerate, CHANNELS, subtype=subtype, format=kind
            )
            for name, text in tags.items():
                setattr(self._file, name, text)
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
            self._check_disk()  # fails for the same reason
            raise OSError(
                EIO, f"not all could be written ({error or 'without a reason'})"
            ) from None


class EncodedFile(StemFile):
    """A stem that ffmpeg encodes.

    Parameters
    ----------
    target, part, descriptor
        See `StemFile`.
    samplerate : int
        Of the blocks; the encoder may have another one.
    suffix : str
        One of `ENCODERS`.
    tags : mapping
        By soundfile's names for them.
    """

    def __init__(
        self,
        target: Path,
        part: Path,
        descriptor: int,
        samplerate: int,
        suffix: str,
        tags: Mapping[str, str],
    ) -> None:
        super().__init__(target, part, descriptor)
        program = which("ffmpeg")
        if not program:
            raise AudioFileError(
                f"cannot write {suffix} files: that takes ffmpeg, which is not installed: "
                f"{install(FFMPEG)}"
            )
        named = {("track" if name == "tracknumber" else name): tags[name] for name in tags}
        self._errors = TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._process = subprocess.Popen(
            [
                *(program, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "error", "-y"),
                *("-f", "f32le", "-ar", str(samplerate), "-ac", str(CHANNELS), "-i", "pipe:0"),
                *(word for tag in named.items() for word in ("-metadata", "=".join(tag))),
                *(*ENCODERS[suffix], "-bitexact", f"file:{part}"),
            ],
            stdin=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C is for stemd, which then ends it
        )

    def write(self, block: Waveform) -> None:
        """Append a block [shape=(CHANNELS, frames)]."""
        if self._process.stdin:
            try:
                self._process.stdin.write(block.T.astype("<f4").tobytes())
            except BrokenPipeError:
                self._fail()

    def finish(self) -> None:
        """Close the file, and make sure that it is complete on the disk."""
        with suppress(BrokenPipeError):
            if self._process.stdin:
                self._process.stdin.close()
        if self._process.wait() or self._said():
            self._fail()

    def close(self) -> None:
        """End the program, also after errors."""
        self._process.kill()
        self._process.wait()
        with suppress(BrokenPipeError):
            if self._process.stdin:
                self._process.stdin.close()
        self._errors.close()

    def _fail(self) -> None:
        self._process.wait()
        self._check_disk()
        raise OSError(EIO, f"not all could be written ({self._said() or 'ffmpeg ended'})")

    def _said(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        return lines[0] if lines else ""


def comment_of(path: Path) -> str:
    """Return the comment in a file's tags; empty if it has none, or is no audio file."""
    try:
        with open_ordinary(path):
            if path.suffix[1:] in SUBTYPES:
                with soundfile.SoundFile(os.fsencode(path)) as file:
                    comment: str = file.comment
                return comment
    except (OSError, soundfile.SoundFileError, TypeError):
        return ""
    return _comment_by_ffprobe(path)


def damage_of(path: Path) -> str:
    """Return what the song of a stem's file lacked; empty if nothing is noted."""
    with suppress(OSError):
        return os.getxattr(path, DAMAGE).decode(errors="replace")
    return ""


def _comment_by_ffprobe(path: Path) -> str:
    program = which("ffprobe")
    if not program or path.suffix[1:] not in ENCODERS:
        return ""
    entries = "format_tags=comment:stream_tags=comment"
    command = [program, "-v", "quiet", "-show_entries", entries, "-of", "default=nw=1:nk=1"]
    try:
        ended = subprocess.run(
            [*command, f"file:{path}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=False,
            timeout=PROBE_S,
        )
    except subprocess.TimeoutExpired:
        return ""
    lines = ended.stdout.decode(errors="replace").splitlines()
    return lines[0] if lines else ""
