"""Music as it was recorded, of which nobody has the stems: for networks that teach each other."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from zipfile import ZipFile

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from research.material.packages import unpacked, version
from research.material.voices import MaterialError
from research.training.tracks import RECORDING, Track, keep
from stemd.dsp.scheme import CHANNELS, SAMPLERATE

SECONDS = 90
"""Of each piece, from its tenth second on."""
START_S = 10
PACKAGES = ("singularity-music", "nexuiz-music", "fretsonfire-songs-sectoid")
"""None of those that the benchmarks separate."""
KINDS = (".ogg", ".opus")
ZIPPED = ".pk3"
"""What Quake's descendants call their archives."""
INSTRUMENTS = ("guitar", "rhythm", "song")
"""Files of one piece in one folder, as Frets on Fire has them: who plays, and all the others."""


def record_all(folder: Path) -> list[Track]:
    """Cut all pieces, where they are not yet.

    Each counts as "other": whoever learns from them is told by another network what is in them.

    Raises
    ------
    MaterialError
        A package cannot be had, or has no music.
    """
    tracks = []
    for package in PACKAGES:
        pieces = _pieces(unpacked(package)).items()
        kept = [track for piece in pieces if (track := _kept(package, *piece, folder))]
        if not kept:
            raise MaterialError(
                f"no piece of {START_S + SECONDS} s in {package} {version(package)}; leave it out "
                "of PACKAGES in research/training/recordings.py"
            )
        tracks += kept
    return tracks


def _pieces(root: Path) -> dict[str, list[bytes]]:
    """Return the files below a folder that sound together, by the name of the piece."""
    pieces: dict[str, list[bytes]] = defaultdict(list)
    for name, sound in _sounds(root):
        is_part = PurePath(name).stem in INSTRUMENTS
        pieces[str(PurePath(name).parent) if is_part else name].append(sound)
    return pieces


def _sounds(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.suffix in KINDS and path.is_file():
            yield name, path.read_bytes()
        elif path.suffix == ZIPPED:
            with ZipFile(path) as archive:
                for member in sorted(archive.namelist()):
                    if PurePath(member).suffix in KINDS:
                        yield f"{name}/{member}", archive.read(member)


def _kept(package: str, piece: str, sounds: Sequence[bytes], folder: Path) -> Track | None:
    name = f"{package}/{piece}"
    made_of = (name, version(package), f"{START_S} {SECONDS}")
    kept = keep(folder, "recordings", made_of, lambda: _together(sounds))
    return Track(kept.file, "train", RECORDING, name, "other", 1.0, kept.sha256) if kept else None


def _together(sounds: Sequence[bytes]) -> NDArray[np.float32]:
    """Return what is to be kept [shape=(frames, CHANNELS)]."""
    heard = np.zeros((SECONDS * SAMPLERATE, CHANNELS), np.float32)
    for sound in sounds:
        heard += _cut(sound)
    return heard


def _cut(sound: bytes) -> NDArray[np.float32]:
    """Read a part of it, or silence of what is too short, for as long."""
    with soundfile.SoundFile(io.BytesIO(sound)) as file:
        if file.frames < (START_S + SECONDS) * file.samplerate or file.channels > CHANNELS:
            return np.zeros((1, CHANNELS), np.float32)
        file.seek(START_S * file.samplerate)
        x = file.read(SECONDS * file.samplerate, dtype="float32", always_2d=True)
        both = np.broadcast_to(x, (len(x), CHANNELS))
        return np.asarray(soxr.resample(both, file.samplerate, SAMPLERATE), np.float32)
