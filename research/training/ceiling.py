"""How far the networks are from the best masks, on songs held out and on songs learnt from.

    make ceiling

Both as written, through the sound font that is held out. Where the networks lack as much on songs
that they have learnt from as on the others, it is not for want of having heard these.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import DOCS, markdown_table, replace_section
from research.quality import sliding
from research.quality.measures import sdr_db
from research.training.__main__ import default_folder, say
from research.training.errors import tell
from research.training.evaluate import Way, score_all
from research.training.fonts import FONTS
from research.training.heldout import Mix, build_mixes
from research.training.render import Performance, render
from research.training.songs import PARTS, Song, Split, all_songs
from research.training.start import OURS, bundled
from research.training.tracks import STEMS
from research.workers import workers

LEARNT = 40
"""Songs that were learnt from, with the smallest checksums, of the packages of those held out."""
GROUPS: Mapping[str, Split] = {"held out": "test", "learnt from": "train"}


def chosen(songs: Sequence[Song], split: Split) -> list[Song]:
    """Return the songs that are measured of a split."""
    tested = [song for song in songs if song.split == "test"]
    if split == "test":
        return tested
    packages = {song.package for song in tested}
    learnt = [song for song in songs if song.split == split and song.package in packages]
    return sorted(learnt, key=lambda song: song.sha256)[:LEARNT]


def mixes_of(songs: Iterable[Song], folder: Path) -> list[Mix]:
    """Mix songs, whatever their split, as those for the figures are: as written, in their key."""
    fonts = [font for font in FONTS if font.splits == ("test",)]
    performances = [
        Performance(song, font, part, in_its_key=True)
        for song in songs
        for font in fonts
        for part in PARTS
        if part in font.parts
    ]
    tracks = [replace(track, split="test") for track in render(performances, folder)]
    return list(build_mixes(folder, tracks))


def best(mix: Mix) -> dict[str, float]:
    """Return each stem's SDR in decibels with the masks that come nearest to all true stems.

    They share out each bin, as those of the networks do, and know the phases too.
    """
    spectra = np.stack([sliding.analyse(stem) for stem in mix.stems])
    mixture = spectra.sum(0)
    power = np.maximum(np.square(np.abs(mixture)), np.finfo(np.float32).tiny)
    masks = shares((spectra * mixture.conj()).real / power)
    scores: dict[str, float] = {}
    for stem, truth, spectrum in zip(STEMS, mix.stems, masks * mixture, strict=True):
        estimate = sliding.synthesise(spectrum)
        scores[stem] = sdr_db(truth[:, : estimate.shape[1]], estimate)
    return scores


def shares(wishes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what is nearest to the wishes [shape=(stems, ...)], not negative, and 1 together.

    By Duchi et al., "Efficient projections onto the l1-ball", ICML 2008, figure 1.
    """
    falling = -np.sort(-wishes, axis=0)
    counts = np.arange(1, len(wishes) + 1).reshape(-1, *[1] * (wishes.ndim - 1))
    excess = (np.cumsum(falling, axis=0) - 1) / counts
    last = (falling > excess).sum(0, keepdims=True) - 1
    return np.maximum(wishes - np.take_along_axis(excess, last, 0), 0).astype(np.float32)


def table(scores: Mapping[tuple[str, str], Sequence[Mapping[str, float]]]) -> str:
    """Return the table of means and standard errors, by songs and by what made the masks."""
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
            scores[name, "the best"] = list(processes.map(best, mixes))
        scores[name, OURS] = score_all(mixes, ours, [Way()])[0]
    text = table(scores)
    say(text)
    replace_section(DOCS / "research" / "training.md", "ceiling", text)


if __name__ == "__main__":
    tell("ceiling", main)
