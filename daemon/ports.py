"""The names of the ports; scripts match them, so they never change."""

from collections.abc import Iterable
from typing import Literal, get_args

INPUTS = ("in_L", "in_R")

MIDI = "midi_in"
"""Where there is one: off unless the configuration has it."""

StemName = Literal["vocals", "drums", "bass", "other", "accompaniment", "piano"]

STEMS: tuple[StemName, ...] = get_args(StemName)
"""All there are; a set of networks has some of them, in an order of its own. New ones come last,
for each keeps its place on the real-time side."""

OUTPUTS = tuple(f"{stem}_{side}" for stem in STEMS for side in "LR")
"""In the order in which the real-time side has them."""


def outputs_of(stems: Iterable[str]) -> dict[str, int]:
    """Give the ports of some stems, and which outputs of the real-time side they are."""
    names = [f"{stem}_{side}" for stem in stems for side in "LR"]
    return {name: OUTPUTS.index(name) for name in names}
