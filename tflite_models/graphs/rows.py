"""How a graph keeps what a block of a sliding window has in common with the one before it.

Such a file has a second graph, the signature `ADVANCE`, which settles rows: it gives those that
will not change while the window slides on. `kept.Kept` stores them by their place in the music.
Inputs and outputs have the names of `Rows`: ``magnitudes[61:64]`` are rows of the window,
``kept/2[1:4]`` are rows that have settled, of which there is one for every 2 spectra. For each
block, `ADVANCE` runs first. Then the first graph runs, on what it needs of the window and of the
rows that have settled. Rows that settle are made of rows that have settled, and of spectra that are
heard.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from stemd.tflite_models.graphs.graph_file import INPUT

ADVANCE = "advance"
"""The signature of the graph that settles rows."""

_NAME = re.compile(rf"(?:{INPUT}|kept/(\d+))\[(\d+):(\d+)\]")


@dataclass(frozen=True)
class Rows:
    """Rows ``start`` to ``stop`` of the window, or of what is kept of it.

    Attributes
    ----------
    step : int
        1: of the window; else of what is kept with a row for every ``step`` spectra.
    start, stop : int
        Counted from the window's beginning.
    """

    step: int
    start: int
    stop: int

    @classmethod
    def parse(cls, name: str) -> Rows | None:
        """Return what a name says; None if it is another name."""
        if not (found := _NAME.fullmatch(name)):
            return None
        step, start, stop = found.groups()
        return cls(int(step or 1), int(start), int(stop))

    def __str__(self) -> str:
        of = INPUT if self.step == 1 else f"kept/{self.step}"
        return f"{of}[{self.start}:{self.stop}]"

    def __len__(self) -> int:
        return self.stop - self.start
