"""One stem's file, written by libsndfile or encoded by ffmpeg."""

import os
import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EIO
from io import BufferedReader
from pathlib import Path
from shutil import which
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import soundfile

from stemd.daemon.errors import AudioFileError
from stemd.daemon.files.cover import Cover, insert_picture
from stemd.daemon.files.decoders import missing_frames
from stemd.daemon.files.stem_mp4 import COLOURS, STEM_MP4, add_manifest, find_box
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
    STEM_MP4: ("-c:a", "aac", "-b:a", "256k", "-f", "mp4"),
}
"""ffmpeg's options for the formats that it writes."""

RF64_AUTO_DOWNGRADE = 0x1210
"""libsndfile's command: make a WAV file of RF64 where that can hold as much."""

RATES = {
    "mp3": (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    "ogg": (192_000,),
    "opus": (48_000,),
    "m4a": (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000),
}
"""Frames per second that the encoders take; Vorbis takes every rate up to this one."""

MARK = "stemd: "
"""The comment of each stem begins with it."""

TEXT = "txt"
"""The suffix of what is written beside the stems."""

TAGS_BYTES = 2**16
"""The comment of a stem is so near the beginning of the file, or in the index of an MP4 file."""

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
        """Append a block [shape=(streams * CHANNELS, frames)]; most files hold one stream."""

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
    cover : Cover, optional
        WAV files hold none.
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
        cover: Cover | None = None,
    ) -> None:
        super().__init__(target, part, descriptor)
        self._cover = cover if kind == "FLAC" else None
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
            if self._cover:
                insert_picture(self._part, self._cover)
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
    cover : Cover, optional
    """

    def __init__(
        self,
        target: Path,
        part: Path,
        descriptor: int,
        samplerate: int,
        suffix: str,
        tags: Mapping[str, str],
        cover: Cover | None = None,
    ) -> None:
        super().__init__(target, part, descriptor)
        self._is_stem_mp4 = suffix == STEM_MP4
        streams = 1 + len(COLOURS) if self._is_stem_mp4 else 1
        program = which("ffmpeg")
        if not program:
            raise AudioFileError(
                f"cannot write {suffix} files: that takes ffmpeg, which is not installed: "
                f"{install(FFMPEG)}"
            )
        named = {("track" if name == "tracknumber" else name): tags[name] for name in tags}
        self._errors = TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._further = TemporaryFile()  # noqa: SIM115 (closed by `close`)
        further = _tags_and_cover(suffix, cover, named, self._further)
        self._process = subprocess.Popen(
            [
                *(program, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "error", "-y"),
                *("-f", "f32le", "-ar", str(samplerate), "-ac", str(streams * CHANNELS)),
                *("-i", "pipe:0", *further, *_apart(streams)),
                *("-ar", str(_encoded_rate(suffix, samplerate)), *ENCODERS[suffix]),
                *("-bitexact", f"file:{part}"),
            ],
            stdin=subprocess.PIPE,
            stderr=self._errors,
            pass_fds=[self._further.fileno()],
            start_new_session=True,  # Ctrl-C is for stemd, which then ends it
        )

    def write(self, block: Waveform) -> None:
        """Append a block [shape=(streams * CHANNELS, frames)]."""
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
        if self._is_stem_mp4:
            add_manifest(self._part)

    def close(self) -> None:
        """End the program, also after errors."""
        self._process.kill()
        self._process.wait()
        with suppress(BrokenPipeError):
            if self._process.stdin:
                self._process.stdin.close()
        self._errors.close()
        self._further.close()

    def _fail(self) -> None:
        self._process.wait()
        self._check_disk()
        raise OSError(EIO, f"not all could be written ({self._said() or 'ffmpeg ended'})")

    def _said(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        return lines[0] if lines else ""


def _encoded_rate(suffix: str, samplerate: int) -> int:
    """Return the lowest rate of an encoder that keeps all of the sound, or its highest one."""
    rates = RATES["m4a" if suffix == STEM_MP4 else suffix]
    if suffix == "ogg" and samplerate < rates[0]:
        return samplerate
    return next((rate for rate in rates if rate >= samplerate), rates[-1])


def _tags_and_cover(
    suffix: str, cover: Cover | None, tags: Mapping[str, str], file: IO[bytes]
) -> list[str]:
    """Return ffmpeg's options for tags and a cover; what it is to read is written into a file."""
    options = [word for tag in tags.items() for word in ("-metadata", "=".join(tag))]
    if cover is None:
        return options
    pipe = f"pipe:{file.fileno()}"
    if suffix in ("ogg", "opus"):  # the cover is a tag, and too long for a command
        lines = [f"{name}={_escaped(text)}" for name, text in tags.items()]
        lines += [f"METADATA_BLOCK_PICTURE={_escaped(cover.comment)}"]
        file.write("\n".join([";FFMETADATA1", *lines, ""]).encode())
        options = ["-f", "ffmetadata", "-i", pipe, "-map_metadata", "1"]
    else:
        file.write(cover.data)
        maps = ["-map", "1:v", "-c:v", "copy", "-disposition:v:0", "attached_pic"]
        maps += ["-map", "0:a"] if suffix != STEM_MP4 else []
        options = ["-f", cover.input_format, "-i", pipe, *options, *maps]
    file.seek(0)
    return options


def _escaped(text: str) -> str:
    """Return a text as a file of tags for ffmpeg has it."""
    return re.sub(r"([=;#\\\n])", r"\\\1", text)


def _apart(streams: int) -> list[str]:
    """Return ffmpeg's options that make streams of the channels; programs play the first one."""
    if streams == 1:
        return []
    pans, options = [], list[str]()
    for n, name in enumerate(["mix", *COLOURS]):
        pans.append(f"[0:a]pan=stereo|c0=c{2 * n}|c1=c{2 * n + 1}[s{n}]")
        options += ["-map", f"[s{n}]", f"-disposition:a:{n}", "0" if n else "default"]
        options += [f"-metadata:s:a:{n}", f"handler_name={name.capitalize()}"]
    return ["-filter_complex", ";".join(pans), *options]


def suffix_of(path: Path) -> str:
    """Return what a file's name ends with, as `Destination` has it."""
    return STEM_MP4 if path.name.endswith(f".{STEM_MP4}") else path.suffix[1:]


def comment_of(path: Path) -> str:
    """Return the comment in a file's tags; empty if it has none, or none of stemd's.

    Of a text, it is the first line.
    """
    try:
        with open_ordinary(path) as opened:
            if suffix_of(path) == TEXT:
                return opened.readline(TAGS_BYTES).decode(errors="replace").strip()
            if suffix_of(path) in ENCODERS and not _may_hold(opened, MARK.encode()):
                return ""
            if suffix_of(path) in SUBTYPES:
                with soundfile.SoundFile(os.fsencode(path)) as file:
                    comment: str = file.comment
                return comment
    except (OSError, soundfile.SoundFileError, TypeError):
        return ""
    return _comment_by_ffprobe(path)


def is_cut(path: Path) -> bool:
    """Whether a WAV or FLAC file lacks its end, as after a copy that was interrupted."""
    if suffix_of(path) not in SUBTYPES:
        return False
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            if missing_frames(file):
                return True
            file.seek(max(file.frames - 1, 0))
            return file.frames > 0 and not len(file.read(1))
    except soundfile.SoundFileError:
        return True


def _may_hold(file: BufferedReader, mark: bytes) -> bool:
    """Whether a text is where tags are; to ask ffprobe takes long."""
    if mark in file.read(TAGS_BYTES):
        return True
    index = find_box(file, b"moov")
    if index is None:
        return False
    file.seek(index.start)
    return mark in file.read(index.end - index.start)


def _comment_by_ffprobe(path: Path) -> str:
    program = which("ffprobe")
    if not program or suffix_of(path) not in ENCODERS:
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
    return next((line for line in lines if line.startswith(MARK)), "")
