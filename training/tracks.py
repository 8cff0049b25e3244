"""One stem's sound in a file, the material that mixtures are made of."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from training.songs import Split

Stem = Literal["vocals", "drums", "bass", "other"]
STEMS: tuple[Stem, ...] = get_args(Stem)

PEAK = 0.95
"""Of every file."""


@dataclass(frozen=True)
class Track:
    """One part of a song by one player, as a FLAC file.

    Attributes
    ----------
    file : str
        Below the folder of the material.
    split, player, song, stem : str
        The player is a sound font or a voice.
    gain : float
        What its samples are to be multiplied by for the song's own balance.
    sha256 : str
        Of the samples, 16 bits each.
    """

    file: str
    split: Split
    player: str
    song: str
    stem: Stem
    gain: float
    sha256: str


def write_list(path: Path, tracks: Iterable[Track]) -> None:
    """Write down what there is, as JSON."""
    path.write_text(json.dumps([asdict(track) for track in tracks], indent=1) + "\n")


def read_list(path: Path) -> list[Track]:
    """Give what `write_list` wrote."""
    return [Track(**each) for each in json.loads(path.read_text())]
