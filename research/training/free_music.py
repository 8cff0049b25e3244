"""Music that the light networks learn from: recorded singers and bands, without the scored seconds.

Of the songs of `research/material/recorded.toml`, those whose licence permits it and by whose
figures networks may be chosen; and other pieces of `recordings`, which have no singers. No second
that `make quality` scores is learnt from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from research.material.recorded import Song, find, half_of, recipes, songs
from research.quality.estimates import FIRST, LAST
from research.training.recordings import record_all
from research.training.tracks import OWN, RECORDING, Kept, Stem, Track, keep
from stemd.dsp.scheme import CHANNELS, SAMPLERATE, SPLEETER

SHORTEST_S, LONGEST_S = 5.0, 30.0
"""Of a stretch of a song."""
SOFTEST = 0.01
"""RMS of a stretch of a singer below which hardly anything is sung."""
SINGERS = 12
"""Stretches that each singer has at least, counted again where there are fewer: few are heard
here, and each is to be heard often."""
TAKEN_APART = "fretsonfire-songs-sectoid"
"""A package whose songs are among `allowed`."""
_HOP_S = SPLEETER.hop_length / SAMPLERATE
_SCORED_S = (FIRST * _HOP_S, (LAST + SPLEETER.overlap) * _HOP_S)


def allowed() -> list[Song]:
    """Return the songs that may be learnt from."""
    return [song for song in songs().values() if song.use == "learn" and half_of(song) == "decide"]


def stretches(song: Song, seconds: float) -> Iterator[tuple[float, float]]:
    """Yield begin and end of what is not scored, in seconds."""
    scored = sorted(
        (at + _SCORED_S[0], at + _SCORED_S[1])
        for recipe in recipes()
        for each, at in ((recipe.music, recipe.at), (recipe.vocals, recipe.vocals_at))
        if each == song
    )
    begin = 0.0
    for start, stop in (*scored, (seconds, seconds)):
        end = min(start, seconds)
        pieces = max(round((end - begin) / LONGEST_S), 1)
        if (end - begin) / pieces >= SHORTEST_S:
            edges = np.linspace(begin, end, pieces + 1)
            yield from zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        begin = max(begin, stop)


def gather(folder: Path) -> list[Track]:
    """Cut all of it into files, where that is not done yet.

    Whole songs have the player `RECORDING`; singers, and music without its singer, have `OWN`, to
    be mixed anew.

    Raises
    ------
    MaterialError
        A song is in none of the folders of STEMD_MATERIAL, or a package cannot be had.
    """
    tracks = [track for song in allowed() for track in _of_song(song, folder)]
    without_singers = [t for t in record_all(folder) if not t.song.startswith(TAKEN_APART)]
    return _often_enough(tracks) + without_singers + [_as_music(t) for t in without_singers]


def _of_song(song: Song, folder: Path) -> Iterator[Track]:
    files = {part: find(song, part) for part in song.parts} or {"": find(song)}
    seconds = min(soundfile.info(path).duration for path in files.values())
    music = [path for part, path in files.items() if part != "vocals"]
    for begin, end in stretches(song, seconds):
        if "vocals" in files:
            yield from _track(song, "vocals", [files["vocals"]], OWN, begin, end, folder)
            if music:
                yield from _track(song, "other", music, OWN, begin, end, folder)
        elif "rest" in files and song.licence == "MIT":  # Sectoid's, where nobody sings
            yield from _track(song, "other", music, OWN, begin, end, folder)
        if music:
            yield from _track(song, "other", list(files.values()), RECORDING, begin, end, folder)


def _track(
    song: Song, stem: Stem, paths: list[Path], player: str, begin: float, end: float, folder: Path
) -> Iterator[Track]:
    """Yield a stretch, unless it is a singer's pause."""
    made_of = (song.source, song.name, *(path.stem for path in paths), f"{begin:.3f} {end:.3f}")
    kept: Kept | None = keep(folder, "stretches", made_of, lambda: _sum(paths, begin, end))
    if kept and (stem != "vocals" or _rms(folder / kept.file) * kept.gain > SOFTEST):
        yield Track(kept.file, "train", player, song.name, stem, kept.gain, kept.sha256)


def _sum(paths: list[Path], begin: float, end: float) -> NDArray[np.float32]:
    """Read a stretch of parts that sound together [shape=(frames, CHANNELS)]."""
    whole = np.zeros((round((end - begin) * SAMPLERATE), CHANNELS), np.float32)
    for path in paths:
        with soundfile.SoundFile(path) as file:
            file.seek(round(begin * file.samplerate))
            frames = round((end - begin) * file.samplerate)
            x = file.read(frames, dtype="float32", always_2d=True)
            both = np.broadcast_to(x, (len(x), CHANNELS))
            both = soxr.resample(both, file.samplerate, SAMPLERATE)[: len(whole)]
        whole[: len(both)] += both
    return whole


def _rms(path: Path) -> float:
    x, _ = soundfile.read(path, dtype="float32")
    return float(np.sqrt(np.square(x).mean()))


def _often_enough(tracks: list[Track]) -> list[Track]:
    """Count a singer's stretches again where there are few."""
    singers: dict[str, list[Track]] = {}
    for track in tracks:
        if track.stem == "vocals":
            singers.setdefault(songs()[track.song].artist, []).append(track)
    again = [each for own in singers.values() for each in (own * SINGERS)[len(own) : SINGERS]]
    return tracks + again


def _as_music(track: Track) -> Track:
    return replace(track, player=OWN)
