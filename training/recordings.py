"""Music as it was recorded, of which nobody has the stems: for networks that teach each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from packages import unpacked, version
from stemd.dsp.scheme import CHANNELS, SAMPLERATE
from training.tracks import RECORDING, Track, keep, write_list

SECONDS = 90
"""Of each piece, from its tenth second on."""
START_S = 10
PACKAGES = ("singularity-music", "nexuiz-music", "fretsonfire-songs-sectoid")
"""None of those that the benchmarks separate."""
KINDS = (".ogg", ".opus")


def record_all(folder: Path) -> list[Track]:
    """Cut all pieces, where they are not yet, and write ``recordings.json``.

    Each counts as "other": whoever learns from them is told by another network what is in them.
    """
    tracks = [
        track
        for package in PACKAGES
        for path in sorted(unpacked(package).rglob("*"))
        if path.suffix in KINDS and path.is_file()
        if (track := _kept(package, path, folder))
    ]
    write_list(folder / "recordings.json", tracks)
    return tracks


def _kept(package: str, path: Path, folder: Path) -> Track | None:
    name = f"{package}/{path.relative_to(unpacked(package))}"
    made_of = (name, version(package), f"{START_S} {SECONDS}")
    kept = keep(folder, "recordings", made_of, lambda: _cut(path))
    return Track(kept.file, "train", RECORDING, name, "other", 1.0, kept.sha256) if kept else None


def _cut(path: Path) -> NDArray[np.float32]:
    """Read what is to be kept [shape=(frames, channels)]; nothing of what is too short."""
    with soundfile.SoundFile(path) as file:
        if file.frames < (START_S + SECONDS) * file.samplerate or file.channels > CHANNELS:
            return np.zeros((0, CHANNELS), np.float32)
        file.seek(START_S * file.samplerate)
        x = file.read(SECONDS * file.samplerate, dtype="float32", always_2d=True)
        return np.asarray(soxr.resample(x, file.samplerate, SAMPLERATE), np.float32)
