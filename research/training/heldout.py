"""Songs that the networks never heard, through a sound font that they never heard, with voices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from research.material.mixes import PEAK, RECIPES
from research.material.voices import Voice
from research.training.errors import TrainingError
from research.training.mixing import Stems
from research.training.tracks import STEMS, Track
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import CHANNELS, SAMPLERATE

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
    """Return every song that is for testing, with one of the benchmarks' voices if it has none.

    The voices come each in its turn.

    All four stems are equally loud on the whole, so that each is 4.8 dB below the others together:
    a song's own balance would tell more of its author than of the networks.

    Parameters
    ----------
    folder : Path
        Of the tracks' files.
    tracks : sequence of Track

    Raises
    ------
    TrainingError
        One of them is too short.
    """
    tested = [track for track in tracks if track.split == "test"]
    for number, song in enumerate(sorted({track.song for track in tested})):
        stems = np.zeros((len(STEMS), CHANNELS, SECONDS * SAMPLERATE), np.float32)
        for track in tested:
            if track.song == song:
                stems[STEMS.index(track.stem)] = _excerpt(folder / track.file)
        if not stems[STEMS.index("vocals")].any():
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
    """Return excerpts of real recordings, without a voice, as the benchmarks take them."""
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
        if file.frames <= START_S * SAMPLERATE:
            raise TrainingError(
                f"{path} ends before {START_S} s, where what is measured begins: leave it out, or "
                "learn from it (split train)"
            )
        file.seek(START_S * SAMPLERATE)
        heard = file.read(SECONDS * SAMPLERATE, dtype="float32", always_2d=True, fill_value=0)
        return np.asarray(heard.T, np.float32)


@cache
def _performance(voice: Voice) -> Waveform:
    return np.resize(voice.perform(), SECONDS * SAMPLERATE)
