"""What one run of a U-Net takes, counted by `graphs.counting` for every preset."""

from __future__ import annotations

from dataclasses import dataclass

from stemd.tflite_models.family import Cost
from stemd.tflite_models.graphs.spec import GraphSpec


@dataclass(frozen=True)
class Block:
    """What a network computes for one block.

    Attributes
    ----------
    macs : float
        Multiplications with addition.
    macs_float : float
        Multiplications that stay float32 in ``mixed``.
    activations : float
        As in `Cost`.
    """

    macs: float
    macs_float: float
    activations: float


BLOCKS = {
    (64, 1, 1, 8): Block(555e6, 96e6, 32e6),
    (64, 2, 1, 8): Block(555e6, 96e6, 32e6),
    (64, 3, 0, 8): Block(565e6, 106e6, 33e6),
    (64, 4, 8, 0): Block(575e6, 116e6, 34e6),
    (128, 16, 16, 0): Block(1079e6, 214e6, 64e6),
    (128, 128, 0, 0): Block(1628e6, 475e6, 104e6),
}
"""By T, B, A and mirror, for the schemes of the presets."""

WEIGHTS = {"fp32": 39e6, "mixed": 10e6, "int8": 10e6}
"""Bytes of a network's weights, by precision."""

MEMORY_MB = {"fp32": 50, "mixed": 20, "int8": 20}
"""The most that a network needs, by precision."""


def cost_of(spec: GraphSpec) -> Cost:
    """Return what one run takes.

    Raises
    ------
    KeyError
        No preset has this window.
    """
    block = BLOCKS[spec.T, spec.B, spec.A, spec.mirror]
    in_float = {"fp32": block.macs, "mixed": block.macs_float, "int8": 0.0}[spec.precision]
    return Cost(
        block.macs - in_float,
        in_float,
        WEIGHTS[spec.precision],
        block.activations,
        MEMORY_MB[spec.precision],
    )
