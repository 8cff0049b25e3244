"""The names of the ports; scripts match them, so they never change."""

from collections.abc import Iterable
from typing import Literal, get_args

INPUTS = ("in_L", "in_R")

MIDI = "midi_in"
"""There is such a port only if ``midi.enabled`` is true."""

StemName = Literal["vocals", "drums", "bass", "other", "accompaniment", "piano"]

STEMS: tuple[StemName, ...] = get_args(StemName)
"""All stems. A set of networks has some of them, in an order of its own: see the architectures in
`tflite_models.spleeter.releases`. Add new ones at the end, for each stem keeps its place on the
real-time side."""


def port_names(stems: Iterable[str]) -> list[str]:
    """Return the names of the output ports of some stems: left and right of each."""
    return [f"{stem}_{side}" for stem in stems for side in "LR"]


OUTPUTS = tuple(port_names(STEMS))
"""All output ports, in the order of the real-time side."""


def outputs_of(stems: Iterable[str]) -> dict[str, int]:
    """Return the output ports of some stems, and which outputs of the real-time side they are."""
    return {name: OUTPUTS.index(name) for name in port_names(stems)}
