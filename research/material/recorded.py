"""Mixes of recorded music: real singers, real bands, in two halves that share no artist.

`recorded.toml` lists them. The music is not part of the repository: it is looked for in the
folders of `MATERIAL`, an environment variable.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import soundfile
import soxr

from benchmarks.report import markdown_table
from research.material.voices import MaterialError
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import CHANNELS, SAMPLERATE

Half: TypeAlias = Literal["decide", "report"]
"""What a mix is for: to decide by, or only to report."""
Kind: TypeAlias = Literal["recorded", "crossed", "instrumental", "whole"]
"""recorded: a song with its own singer; crossed: the singer of another one; instrumental: without
its singer; whole: no stem is known."""

LIST = Path(__file__).with_suffix(".toml")
MATERIAL = "STEMD_MATERIAL"
SECONDS = 24.0
"""The longest excerpt."""
LOUDNESS_LUFS, PEAK = -16.0, 0.9
"""Of a crossed mix; the peak at most."""
STEMS = ("vocals", "drums", "bass", "other")
NO_PARTS = "–"
SUFFIXES = (".flac", ".ogg", ".wav", ".mp3")


@dataclass(frozen=True)
class Song:
    """A song as `recorded.toml` has it.

    Attributes
    ----------
    name, artist, title, licence, use, source : str
    parts : tuple of str
        Files that add up to the song; empty where the song is one file.
    known : tuple of str
        The parts that are one of `STEMS`, and nothing else.
    """

    name: str
    artist: str
    title: str
    licence: str
    use: Literal["learn", "measure", "restricted"]
    source: str
    parts: tuple[str, ...] = ()
    known: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """How a mix is made.

    Attributes
    ----------
    half : Half
        Follows from the artists.
    kind : Kind
    music : Song
    at : float
        Where the excerpt begins, in seconds.
    vocals : Song, optional
        Of a crossed mix, with `vocals_at` as `at`, and `level` in LU above the music.
    """

    half: Half
    kind: Kind
    music: Song
    at: float
    vocals: Song | None = None
    vocals_at: float = 0
    level: float = 0

    @property
    def name(self) -> str:
        """A name that no other mix has."""
        singer = f"{self.vocals.name} over " if self.vocals else ""
        without = ", no vocals" if self.kind == "instrumental" else ""
        return f"{singer}{self.music.name} {self.at:g} s{without}"

    @property
    def songs(self) -> tuple[Song, ...]:
        """All that sound in it."""
        return (self.music, self.vocals) if self.vocals else (self.music,)


@dataclass(frozen=True)
class Mix:
    """A mixture, and what is known of its stems [shape=(CHANNELS, frames)].

    Attributes
    ----------
    mixture : Waveform
    truths : mapping of str to Waveform
        By stem, of those that are known; silence for one that is known to be missing.
    """

    mixture: Waveform
    truths: Mapping[str, Waveform]


@cache
def songs() -> dict[str, Song]:
    """Return every song of the list, by name."""
    return {name: _song(name, told) for name, told in _read()["song"].items()}


@cache
def recipes() -> tuple[Recipe, ...]:
    """Return every mix of the list."""
    return tuple(_recipe(told) for told in _read()["mix"])


def half_of(song: Song) -> Half:
    """Return the half that a song's artist is in.

    Raises
    ------
    ValueError
        The artist is in none, or in both.
    """
    halves: dict[Half, list[str]] = _read()["halves"]
    (half,) = (half for half, artists in halves.items() if song.artist in artists)
    return half


def describe() -> str:
    """Return a markdown table of the songs, with artists, licences and sources."""
    rows = (
        [
            f"{song.title}, {song.artist}",
            half_of(song),
            ", ".join(song.parts) or NO_PARTS,
            song.licence,
            song.use,
            song.source,
        ]
        for song in songs().values()
    )
    return markdown_table(["song", "half", "parts", "licence", "use", "source"], rows)


def folders() -> list[Path]:
    """Return where songs are looked for."""
    return [Path(folder) for folder in os.environ.get(MATERIAL, "").split(os.pathsep) if folder]


def build(recipe: Recipe) -> Mix:
    """Make a mix.

    Raises
    ------
    MaterialError
        A song is not there.
    """
    parts = _excerpts(recipe.music, recipe.at)
    if recipe.kind == "whole":
        return Mix(_sum(parts), {})
    vocals = parts.pop("vocals", None)
    known = {stem: parts[stem] for stem in recipe.music.known if stem in parts}
    music = _sum(parts)
    if recipe.vocals:
        vocals = _excerpts(recipe.vocals, recipe.vocals_at)["vocals"]
    elif recipe.kind == "instrumental" or vocals is None:
        vocals = np.zeros_like(music)
    frames = min(vocals.shape[1], music.shape[1])
    stems = {"vocals": vocals, **known, "accompaniment": music}
    stems = {stem: x[:, :frames] for stem, x in stems.items()}
    if recipe.vocals:
        _cross(stems, recipe.level)
    return Mix(stems["vocals"] + stems["accompaniment"], stems)


def find(song: Song, part: str = "") -> Path:
    """Return the file of a song, or of one of its parts.

    Raises
    ------
    MaterialError
        It is in no folder.
    """
    for folder in folders():
        for suffix in SUFFIXES:
            name = f"{song.name}/{part}" if part else song.name
            if (path := folder / f"{name}{suffix}").is_file():
                return path
    places = os.pathsep.join(map(str, folders())) or "unset"
    raise MaterialError(
        f"no {part or 'file'} of {song.name} in {MATERIAL} ({places}): set it to the folders that "
        "hold the songs of research/material/recorded.toml; docs/research/yardstick.md has their "
        "sources"
    )


def _read() -> dict[str, Any]:
    return tomllib.loads(LIST.read_text(encoding="utf-8"))


def _song(name: str, told: Mapping[str, Any]) -> Song:
    lists = {key: tuple(told.get(key, ())) for key in ("parts", "known")}
    return Song(name, **{**told, **lists})


def _recipe(told: Mapping[str, Any]) -> Recipe:
    music = songs()[told["music"]]
    vocals = songs()[told["vocals"]] if "vocals" in told else None
    if vocals and half_of(vocals) != half_of(music):
        raise ValueError(f"{vocals.name} and {music.name} are of different halves")
    return Recipe(half_of(music), **{**told, "music": music, "vocals": vocals})


def _excerpts(song: Song, at: float) -> dict[str, Waveform]:
    if not song.parts:
        return {"": _read_part(find(song), at)}
    return {part: _read_part(find(song, part), at) for part in song.parts}


def _read_part(path: Path, at: float) -> Waveform:
    try:
        with soundfile.SoundFile(path) as file:
            file.seek(round(at * file.samplerate))
            x = file.read(round(SECONDS * file.samplerate), dtype="float32", always_2d=True)
            rate = file.samplerate
    except (OSError, soundfile.LibsndfileError) as error:
        raise MaterialError(f"cannot read {path}: {error}; put the file there again") from None
    if rate != SAMPLERATE:
        x = np.asarray(soxr.resample(x, rate, SAMPLERATE, quality="VHQ"), np.float32)
    return np.ascontiguousarray(np.broadcast_to(x.T, (CHANNELS, len(x))))


def _sum(parts: Mapping[str, Waveform] | Sequence[Waveform]) -> Waveform:
    waveforms = list(parts.values()) if isinstance(parts, Mapping) else parts
    return np.asarray(np.sum(waveforms, axis=0), np.float32)


def _cross(stems: dict[str, Waveform], level: float) -> None:
    """Set the vocals' loudness against that of the music, and that of the mixture, in place."""
    music = stems["accompaniment"]
    stems["vocals"] = stems["vocals"] * _gain(_loudness(music) + level - _loudness(stems["vocals"]))
    mixture = stems["vocals"] + music
    gain = _gain(LOUDNESS_LUFS - _loudness(mixture))
    gain = min(gain, np.float32(PEAK / np.abs(mixture).max()))
    for stem in stems:
        stems[stem] = stems[stem] * gain


def _gain(db: float) -> np.float32:
    return np.float32(10 ** (db / 20))


def _loudness(x: Waveform) -> float:
    """Return the loudness in LUFS (ITU-R BS.1770-4), pauses left out."""
    import pyloudnorm

    return float(pyloudnorm.Meter(SAMPLERATE).integrated_loudness(x.T.astype(np.float64)))
