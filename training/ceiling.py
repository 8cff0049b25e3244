"""How far the networks are from what masks can do, on songs held out and on songs learnt from.

    make ceiling

Both through the sound font that is held out, so that what differs is whether a song was learnt
from. Ideal ratio masks are made of the true stems: no network that masks the mixture does better.
Where the networks lack as much on songs held out as on the others, those are hard, not unlearnt.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import sliding
from measures import sdr_db
from report import DOCS, markdown_table, replace_section
from training.__main__ import default_folder, say
from training.errors import tell
from training.evaluate import Way, score_all
from training.fonts import FONTS
from training.heldout import Mix, build_mixes
from training.render import Performance, render
from training.songs import PARTS, Song, Split, all_songs
from training.start import OURS, bundled
from training.tracks import STEMS
from workers import workers

LEARNT = 40
"""Songs that were learnt from, with the smallest checksums, of the packages of those held out."""
GROUPS: Mapping[str, Split] = {"held out": "test", "learnt from": "train"}


def chosen(songs: Sequence[Song], split: Split) -> list[Song]:
    """Give the songs that are measured of a split."""
    tested = [song for song in songs if song.split == "test"]
    if split == "test":
        return tested
    packages = {song.package for song in tested}
    learnt = [song for song in songs if song.split == split and song.package in packages]
    return sorted(learnt, key=lambda song: song.sha256)[:LEARNT]


def mixes_of(songs: Iterable[Song], folder: Path) -> list[Mix]:
    """Mix songs, whatever their split, as those for the figures are."""
    fonts = [font for font in FONTS if font.splits == ("test",)]
    performances = [
        Performance(song, font, part)
        for song in songs
        for font in fonts
        for part in PARTS
        if part in font.parts
    ]
    tracks = [replace(track, split="test") for track in render(performances, folder)]
    return list(build_mixes(folder, tracks))


def ideal(mix: Mix) -> dict[str, float]:
    """Give each stem's SDR in decibels where the masks are of the true stems' powers."""
    spectra = np.stack([sliding.analyse(stem) for stem in mix.stems])
    power = np.square(np.abs(spectra))
    masked = spectra.sum(0) * power / np.maximum(power.sum(0), np.finfo(np.float32).tiny)
    scores: dict[str, float] = {}
    for stem, truth, spectrum in zip(STEMS, mix.stems, masked, strict=True):
        estimate = sliding.synthesise(spectrum)
        scores[stem] = sdr_db(truth[:, : estimate.shape[1]], estimate)
    return scores


def table(scores: Mapping[tuple[str, str], Sequence[Mapping[str, float]]]) -> str:
    """Tell means and their standard errors, by the songs and by what made the masks."""
    rows = []
    for (songs, masks), each in scores.items():
        cells = []
        for stem in STEMS:
            values = np.array([score[stem] for score in each])
            error = values.std(ddof=1) / np.sqrt(len(values))
            cells.append(f"{values.mean():.2f} ± {error:.2f}")
        rows.append([f"{len(each)} {songs}", masks, *cells])
    return markdown_table(["songs", "masks", *STEMS], rows)


def main() -> None:
    """Measure the set that comes along, and write the table."""
    parser = argparse.ArgumentParser(prog="ceiling", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=default_folder(), help="of the material")
    folder: Path = parser.parse_args().folder
    songs, ours = all_songs(), bundled(OURS).paths
    scores: dict[tuple[str, str], list[dict[str, float]]] = {}
    for name, split in GROUPS.items():
        mixes = mixes_of(chosen(songs, split), folder)
        with workers() as processes:
            scores[name, "ideal"] = list(processes.map(ideal, mixes))
        scores[name, OURS] = score_all(mixes, ours, [Way()])[0]
    text = table(scores)
    say(text)
    replace_section(DOCS / "models.md", "ceiling", text)


if __name__ == "__main__":
    tell("ceiling", main)
