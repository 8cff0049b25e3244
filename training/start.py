"""What a run begins with: Deezer's two networks, or four that have learnt before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemd.tflite_models.library import Library
from stemd.tflite_models.model_reader import read_weights
from stemd.tflite_models.model_set import ModelSet
from stemd.tflite_models.unet import UNet
from training.errors import TrainingError
from training.render import Font
from training.songs import Song
from training.tracks import STEMS

DEEZERS = "2stems"
OURS = "4stems"
STARTS = (DEEZERS, OURS)
CARD = "card.json"
"""Stands beside networks that learnt, and tells of what."""


@dataclass(frozen=True)
class Start:
    """Four networks to begin with.

    Attributes
    ----------
    name : str
        Of their set.
    networks : mapping of str to UNet
        By stem.
    before : dict, optional
        The card of what they learnt before, but for its figures; None where they did not.
    """

    name: str
    networks: Mapping[str, UNet]
    before: dict[str, Any] | None = None


def bundled(name: str, folder: Path | None = None) -> ModelSet:
    """Give a set as it comes with the program, whatever the user has installed.

    Parameters
    ----------
    name : str
        One of STARTS.
    folder : Path, optional
        Where the bundled sets are; by default where the program has them.

    Raises
    ------
    ModelError
        It is missing or damaged.
    """
    return Library(bundled_dir=folder).find_bundled(name)


def read_all(networks: ModelSet) -> dict[str, UNet]:
    """Give the weights of a set, by stem."""
    return {stem: read_weights(path)[0] for stem, path in networks.paths.items()}


def bundled_start(name: str = DEEZERS, folder: Path | None = None) -> Start:
    """Give what a bundled set has to begin with.

    Raises
    ------
    ModelError
        It is missing or damaged.
    """
    found = bundled(name, folder)
    networks = read_all(found)
    if name == DEEZERS:
        return Start(name, likeness(networks))
    card = json.loads((found.folder / CARD).read_text())
    del card["figures"]
    return Start(name, networks, card)


def likeness(networks: Mapping[str, UNet]) -> dict[str, UNet]:
    """Make four of two: the vocals' own, and the likeness of that of all the rest for each."""
    return {**dict.fromkeys(STEMS, networks["accompaniment"]), "vocals": networks["vocals"]}


def refuse_held_out(start: Start, songs: Iterable[Song], fonts: Iterable[Font]) -> None:
    """See to it that nothing that is held out was learnt from before.

    Raises
    ------
    TrainingError
        Something was; the figures would be too good.
    """
    learnt = _learnt(start.before)
    held_out = [(song.name, song.sha256) for song in songs if song.split != "train"]
    held_out += [(font.file, font.sha256) for font in fonts if "train" not in font.splits]
    for name, digest in held_out:
        if digest in learnt:
            raise TrainingError(
                f"{start.name} has learnt from {name}, which is held out: begin with {DEEZERS} "
                f"(--start {DEEZERS})"
            )


def _learnt(card: dict[str, Any] | None) -> set[str]:
    """Give the checksums of all songs and fonts that the runs of a card learnt from."""
    if card is None:
        return set()
    songs, fonts = card["material"]["songs"].values(), card["material"]["fonts"]
    return {
        *(song["sha256"] for song in songs if song["split"] == "train"),
        *(font["sha256"] for font in fonts if "train" in font["splits"]),
        *_learnt(card.get("before")),
    }
