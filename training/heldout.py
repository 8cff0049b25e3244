"""Songs that the networks never heard, through a sound font that they never heard, with voices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from material import PEAK, RECIPES
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import CHANNELS, SAMPLERATE
from training.mixing import Stems
from training.tracks import STEMS, Track
from voices import Voice

START_S, SECONDS = 15, 30
SOFTEST = 1e-4
"""RMS from which on a part counts as playing."""


GUITARS = tuple(
    recipe for recipe in RECIPES if recipe.piece.package == "fretsonfire-songs-muldjord"
)
"""Real recordings that have their guitar in a file of its own."""


@dataclass(frozen=True)
class Mix:
    """A mixture and its true stems.

    Attributes
    ----------
    name : str
    stems : Stems
        They sum to the mixture.
    """

    name: str
    stems: Stems

    @property
    def mixture(self) -> Waveform:
        """What the separation is given."""
        return np.asarray(self.stems.sum(0), np.float32)


def build_mixes(folder: Path, tracks: Sequence[Track]) -> Iterator[Mix]:
    """Give every song that is for testing with one of the benchmarks' voices, each in its turn.

    All four stems are equally loud on the whole, so that each is 4.8 dB below the others together:
    a song's own balance would tell more of its author than of the networks.

    Parameters
    ----------
    folder : Path
        Of the tracks' files.
    tracks : sequence of Track
    """
    tested = [track for track in tracks if track.split == "test"]
    for number, song in enumerate(sorted({track.song for track in tested})):
        stems = np.zeros((len(STEMS), CHANNELS, SECONDS * SAMPLERATE), np.float32)
        for track in tested:
            if track.song == song:
                stems[STEMS.index(track.stem)] = _excerpt(folder / track.file)
        stems[STEMS.index("vocals")] = _performance(RECIPES[number % len(RECIPES)].voice)
        stems /= np.maximum(np.sqrt(np.square(stems).mean((1, 2), keepdims=True)), SOFTEST)
        stems *= np.float32(PEAK / np.abs(stems.sum(0)).max())
        yield Mix(song, stems)


@dataclass(frozen=True)
class Recording:
    """A real recording in two parts [shape=(CHANNELS, frames)]: the guitar, and all the rest."""

    name: str
    rest: Waveform
    guitar: Waveform


def recordings() -> Iterator[Recording]:
    """Give excerpts of real recordings, without a voice, as the benchmarks take them."""
    for recipe in GUITARS:
        parts = [
            replace(recipe.piece, files=(file,)).excerpt(recipe.start_s, SECONDS)
            for file in recipe.piece.files
        ]
        gain = np.float32(PEAK / np.abs(sum(parts)).max())
        rest, guitar = (part * gain for part in parts)
        yield Recording(recipe.piece.title, rest, guitar)


def _excerpt(path: Path) -> Waveform:
    with soundfile.SoundFile(path) as file:
        file.seek(min(START_S * SAMPLERATE, file.frames))
        heard = file.read(SECONDS * SAMPLERATE, dtype="float32", always_2d=True, fill_value=0)
        return np.asarray(heard.T, np.float32)


_performances: dict[str, Waveform] = {}


def _performance(voice: Voice) -> Waveform:
    key = str(voice)
    if key not in _performances:
        _performances[key] = np.resize(voice.perform(), SECONDS * SAMPLERATE)
    return _performances[key]
