"""Music as it was recorded, of which nobody has the stems: for networks that teach each other."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import soundfile
import soxr

from packages import unpacked
from stemd.dsp.scheme import CHANNELS, SAMPLERATE
from training.tracks import PEAK, Track, write_list

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
        if (track := _cut(path, f"{package}/{path.name}", folder))
    ]
    write_list(folder / "recordings.json", tracks)
    return tracks


def _cut(path: Path, name: str, folder: Path) -> Track | None:
    """Cut one out; None where it is too short."""
    target = folder / "recordings" / f"{sha256(str(path).encode()).hexdigest()[:12]}.flac"
    if not target.exists():
        with soundfile.SoundFile(path) as file:
            if file.frames < (START_S + SECONDS) * file.samplerate or file.channels > CHANNELS:
                return None
            file.seek(START_S * file.samplerate)
            x = file.read(SECONDS * file.samplerate, dtype="float32", always_2d=True)
            rate = file.samplerate
        x = soxr.resample(x, rate, SAMPLERATE)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".part")
        quantized = np.rint(x * (PEAK * 32767 / np.abs(x).max())).astype(np.int16)
        soundfile.write(partial, quantized, SAMPLERATE, format="FLAC")
        partial.replace(target)
    quantized, _ = soundfile.read(target, dtype="int16")
    digest = sha256(quantized.tobytes()).hexdigest()
    return Track(f"recordings/{target.name}", "train", "recording", name, "other", 1.0, digest)
