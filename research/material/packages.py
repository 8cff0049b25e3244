"""Freely licensed music out of Debian packages, unpacked without root into the cache folder."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from platformdirs import user_cache_path

from research.material.voices import MaterialError
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import CHANNELS, SAMPLERATE


@dataclass(frozen=True)
class Piece:
    """A piece of music in a Debian package, without voices.

    Attributes
    ----------
    package : str
    files : tuple of str
        Tracks that together are the piece, below the package's usr/share/games.
    title : str
    author : str
    licence : str
        As the package's copyright file has it.
    """

    package: str
    files: tuple[str, ...]
    title: str
    author: str
    licence: str

    def excerpt(self, start_s: float, seconds: float) -> Waveform:
        """Return a part of it at SAMPLERATE [shape=(CHANNELS, frames)], fetched if need be.

        Raises
        ------
        MaterialError
            If the package cannot be had, or is not as expected.
        """
        root = unpacked(self.package) / "usr/share/games"
        return sum(
            (_read(root / file, start_s, seconds) for file in self.files),
            np.zeros((CHANNELS, round(seconds * SAMPLERATE)), np.float32),
        )


def cache_folder() -> Path:
    """Return where packages and mixes are kept; it may be emptied at any time."""
    return user_cache_path("stemd") / "benchmarks"


def unpacked(package: str) -> Path:
    """Return the folder with the package's files; download it if it is not there."""
    target = cache_folder() / "packages" / package
    if not target.is_dir():
        part = target.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _run(["apt-get", "download", "-q", package], part, package)
        for deb in part.glob("*.deb"):
            _run(["dpkg-deb", "-x", deb.name, "."], part, package)
            deb.unlink()
            version = deb.name.split("_")[1].replace("%3a", ":")
            (part / "VERSION").write_text(f"{version}\n")
        part.rename(target)
    return target


def version(package: str) -> str:
    """Return the version of an unpacked package, or nothing where someone else unpacked it."""
    file = unpacked(package) / "VERSION"
    return file.read_text().strip() if file.exists() else ""


def _run(command: list[str], folder: Path, package: str) -> None:
    try:
        subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise MaterialError(
            f"no {command[0]} here: the music comes out of Debian packages; run this on Debian or "
            f"Ubuntu, or unpack {package} into {cache_folder() / 'packages' / package}"
        ) from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip().splitlines()[-1:] or [f"exit code {error.returncode}"]
        raise MaterialError(
            f"{command[0]} could not get {package}: {reason[0]}; run `sudo apt-get update`, and "
            "look whether the network is there"
        ) from None


def _read(path: Path, start_s: float, seconds: float) -> Waveform:
    try:
        with soundfile.SoundFile(path) as file:
            file.seek(round(start_s * file.samplerate))
            samples = file.read(round(seconds * file.samplerate), dtype="float32", always_2d=True)
            rate = file.samplerate
    except (OSError, soundfile.LibsndfileError) as error:
        raise MaterialError(
            f"cannot read {path}: {error}; delete {cache_folder()} and try again"
        ) from None
    samples = np.asarray(soxr.resample(samples, rate, SAMPLERATE, quality="VHQ"), np.float32)
    expected = (round(seconds * SAMPLERATE), CHANNELS)
    if samples.shape != expected:
        raise MaterialError(f"{path} holds {samples.shape} frames and channels, not {expected}")
    return samples.T
