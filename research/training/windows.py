"""What networks see of a mixture while they learn, how they compute, and what of it counts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stemd.dsp.scheme import Scheme
from stemd.tflite_models.graphs.spec import GraphSpec, StreamingPrecision


@dataclass(frozen=True)
class Window:
    """T spectra, of which the last may be the mirrored ones before them, as `Scheme` has it.

    Attributes
    ----------
    T : int
    mirror : int
        Spectra in place of those to come.
    A : int
        Spectra that are heard after those that count.
    rows : int, optional
        How many count; all that are heard, but for A, if it is not said.
    precision : StreamingPrecision
        Of the arithmetic.
    """

    T: int
    mirror: int = 0
    A: int = 0
    rows: int | None = None
    precision: StreamingPrecision = "fp32"

    @property
    def graph(self) -> GraphSpec:
        """The graph that computes it, and emits what counts."""
        rows = self.rows or self.heard - self.A
        return GraphSpec(T=self.T, B=rows, A=self.A, mirror=self.mirror, precision=self.precision)

    @property
    def heard(self) -> int:
        """Spectra that are real."""
        return self.T - self.mirror

    def seen(self, heard: Tensor) -> Tensor:
        """Return what networks see [shape=(…, T, bins)] of what is heard [shape=(…, heard, …)]."""
        if not self.mirror:
            return heard
        return torch.cat([heard, heard[..., -1 - self.mirror : -1, :].flip(-2)], -2)

    def counted(self, x: Tensor) -> Tensor:
        """Return the rows that count [shape=(…, rows, bins)] of what is heard or seen."""
        graph = self.graph
        return x[..., graph.first : graph.first + graph.B, :]


def window_of(scheme: Scheme, rows: int, precision: StreamingPrecision = "fp32") -> Window:
    """Return the window of a scheme; the rows that count end where those end that it emits."""
    return Window(scheme.T, scheme.mirror, scheme.A, rows, precision)
