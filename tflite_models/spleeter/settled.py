"""Which rows of the encoder keep their values while the window slides.

A row of level l reads the spectra from 2^l - 1 before its place to 3 · (2^l - 1) after it. Once all
of these are heard, the row has *settled*: it moves through the window with the music, and its
values stay the same, until it is the first row of the window. The first row of every level reads
the padding before the window. (The second does not: it reads the rows 1 to 5 of the level below.)

After a block, the rows have moved by B / 2^l places. Where that is not a whole number, the rows
that come into their places are those of an earlier block: nothing is lost, but more must be kept.
"""

from dataclasses import dataclass
from math import lcm

from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.spleeter.architecture import DEPTH

LEAST = 2
"""Rows of a level that must be settled before a block; for fewer, it does not pay to keep them."""


@dataclass(frozen=True)
class Settled:
    """The settled rows of a level: from 1 on, for the first one never is.

    Attributes
    ----------
    step : int
        Spectra from one row to the next.
    new : int
        The first row that settles with the block; those before it were settled already.
    stop : int
        The first row that has not settled.
    rows : int
        Rows of the level in the window.
    """

    step: int
    new: int
    stop: int
    rows: int


def settled_levels(spec: GraphSpec) -> list[Settled]:
    """Return what can be kept of the levels 1, 2, …: of those where it pays."""
    heard, levels = spec.T - spec.mirror, []
    for level in range(1, DEPTH):
        step = 2**level
        stop = (heard - 1 - 3 * (step - 1)) // step + 1
        new = stop - lcm(step, spec.B) // step
        if new - 1 < LEAST:
            break
        levels.append(Settled(step, new, stop, spec.T // step))
    return levels
