"""One take: a folder with a file of the input and one of each stem."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from errno import EEXIST, EIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from stemd.daemon.record_wish import RecordingFormat
from stemd.daemon.recording.disk import Reserve, cut_off_room, make_room
from stemd.daemon.version import VERSION
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import CHANNELS

KINDS = {"wav": ("RF64", "FLOAT"), "flac": ("FLAC", "PCM_24")}
"""What libsndfile calls each format, and its samples."""

RF64_AUTO_DOWNGRADE, UPDATE_HEADER_NOW = 0x1210, 0x1060
"""libsndfile's commands: be WAV as long as that can hold it; write the length into the header."""

MOST_PER_SAMPLE, SLACK = 8, 1 << 16
"""More bytes than libsndfile writes for a sample, and than it has kept of earlier ones."""


class Take:
    """The files of one take (one thread).

    Parameters
    ----------
    parent : Path
        Of the take's folder; made if it is missing.
    kind : RecordingFormat
    stems : sequence of str
    samplerate : int
    note : str
        The comment in each file.

    Attributes
    ----------
    folder : Path
    frames : int
        That were written to each file.
    clipped : int
        Samples beyond full scale, which FLAC cannot hold.

    Raises
    ------
    OSError
        The files cannot be made.
    """

    def __init__(
        self, parent: Path, kind: RecordingFormat, stems: Sequence[str], samplerate: int, note: str
    ) -> None:
        began = datetime.now().astimezone()
        self.frames = 0
        self.clipped = 0
        self.folder = _new_folder(parent, f"{began:%Y-%m-%d %H.%M.%S}")
        self._kind = kind
        tags = {"date": began.isoformat("T", "seconds"), "software": f"stemd {VERSION}"}
        with ExitStack() as undo:
            undo.callback(self.folder.rmdir)
            self._reserve = Reserve(self.folder)
            undo.callback(self._reserve.give_up)
            self._files = [
                self._open(undo, name, samplerate, {**tags, "title": name, "comment": note})
                for name in ("input", *stems)
            ]
            undo.pop_all()

    def write(self, block: Waveform) -> None:
        """Append a block [shape=(CHANNELS of each file, frames)] to all files.

        Raises
        ------
        OSError
            The disk is full; then nothing of the block was written. Or it fails.
        """
        for file in self._files:
            make_room(file.descriptor, MOST_PER_SAMPLE * CHANNELS * block.shape[1] + SLACK)
        if self._kind == "flac":
            self.clipped += int(np.count_nonzero(np.abs(block) > 1))
        for index, file in enumerate(self._files):
            try:
                file.sound.write(block[CHANNELS * index :][:CHANNELS].T)
            except (soundfile.LibsndfileError, AssertionError):  # the latter: not all was written
                raise OSError(EIO, os.strerror(EIO)) from None
        self.frames += block.shape[1]

    def update(self) -> None:
        """Make the files whole as they are now, in case stemd is killed."""
        if self._kind == "wav":  # what FLAC has is whole anyway
            for file in self._files:
                cut_off_room(file.descriptor)
                _command(file.sound, UPDATE_HEADER_NOW, 0)

    def close(self) -> None:
        """Close all files; remove them if there is nothing in them."""
        self._reserve.give_up()
        for file in self._files:
            file.close()
        if not self.frames:
            for path in self.folder.iterdir():
                path.unlink()
            self.folder.rmdir()

    def _open(
        self, undo: ExitStack, name: str, samplerate: int, tags: Mapping[str, str]
    ) -> "_File":
        kind, subtype = KINDS[self._kind]
        path = self.folder / f"{name}.{self._kind}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        undo.callback(path.unlink)
        undo.callback(os.close, descriptor)
        sound = soundfile.SoundFile(
            descriptor, "w", samplerate, CHANNELS, subtype=subtype, format=kind, closefd=False
        )
        undo.callback(sound.close)
        for key, text in tags.items():
            setattr(sound, key, text)
        if kind == "RF64":
            _command(sound, RF64_AUTO_DOWNGRADE, 1)
        return _File(descriptor, sound)


class _File(NamedTuple):
    """A file, and what writes it: no Python is called from there, which a service may not have."""

    descriptor: int
    sound: soundfile.SoundFile

    def close(self) -> None:
        """Close it, once the disk has all of it."""
        with suppress(OSError, soundfile.LibsndfileError):
            cut_off_room(self.descriptor)
            self.sound.close()
            os.fsync(self.descriptor)
        os.close(self.descriptor)


def _new_folder(parent: Path, name: str) -> Path:
    """Make a folder of this name, or of the next one that is free."""
    parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, 100):
        folder = parent / (name if number == 1 else f"{name} ({number})")
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise FileExistsError(EEXIST, os.strerror(EEXIST), str(folder))


def _command(sound: soundfile.SoundFile, number: int, value: int) -> None:
    """Send a command of libsndfile's, for which soundfile has no other way."""
    soundfile._snd.sf_command(sound._file, number, soundfile._ffi.NULL, value)
