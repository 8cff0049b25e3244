"""The names of the ports; scripts match them, so they never change."""

from collections.abc import Iterable
from typing import Literal, get_args

INPUTS = ("in_L", "in_R")

UNCONNECTED = (
    "nothing is connected to in_L and in_R, so there is nothing to separate: docs/playing.md says "
    "how to connect a player"
)

MIDI = "midi_in"
"""There is such a port only if ``midi.enabled`` is true."""

MIDI_OUT = "midi_out"
"""There is such a port only if ``midi.feedback`` is true too."""

MIX = ("mix_L", "mix_R")
"""The input, as late as the stems. There are such ports only if ``jack.mix_ports`` is true."""

StemName = Literal["vocals", "drums", "bass", "other", "accompaniment", "piano", "rest"]

STEMS: tuple[StemName, ...] = get_args(StemName)
"""All stems. A set of networks has some of them, in an order of its own: see the architectures in
`tflite_models.spleeter.releases`. Add new ones at the end, for each stem keeps its place on the
real-time side."""

REST: StemName = "rest"
"""What the stems of ``separation.only`` leave of the mixture. No set of networks has it."""


def is_fed(client: str, connections: Iterable[tuple[str, str]]) -> bool:
    """Whether a client's audio inputs get anything.

    Parameters
    ----------
    client : str
        stemd's name in the graph.
    connections : iterable of tuple of str
        Source and destination of each, by full names.
    """
    inputs = {f"{client}:{port}" for port in INPUTS}
    return any(destination in inputs for _, destination in connections)


def port_names(stems: Iterable[str]) -> list[str]:
    """Return the names of the output ports of some stems: left and right of each."""
    return [f"{stem}_{side}" for stem in stems for side in "LR"]


OUTPUTS = tuple(port_names(STEMS))
"""All output ports, in the order of the real-time side."""


MIX_OUTPUTS = {name: len(OUTPUTS) + number for number, name in enumerate(MIX)}
"""The ports of the mix, and which outputs of the real-time side they are: after the stems'."""


def outputs_of(stems: Iterable[str]) -> dict[str, int]:
    """Return the output ports of some stems, and which outputs of the real-time side they are."""
    return {name: OUTPUTS.index(name) for name in port_names(stems)}
