"""What one run of a compiled U-Net costs, calculated from the sizes of its layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stemd.tflite_models.family import Cost
from stemd.tflite_models.graphs.spec import CHANNELS, GraphSpec
from stemd.tflite_models.spleeter.architecture import (
    BINS,
    DEPTH,
    KEPT_FLOAT,
    SPLIT_FROM,
    rows_needed,
    widths,
)

WEIGHTS, WEIGHTS_FP32 = 10e6, 39e6
"""Bytes of a network's weights: with kernels of 8 bits, and of float32."""

MEMORY_MB, MEMORY_MB_FP32 = 20, 50
"""The most memory that a network needs."""


@dataclass(frozen=True)
class _Layer:
    """A convolution, with the operations that surround it.

    Attributes
    ----------
    name : str
    macs : int
        Multiplications with addition.
    values : int
        Numbers that its operations read and write.
    """

    name: str
    macs: int
    values: int


def cost_of(spec: GraphSpec) -> Cost:
    """Return what one run costs.

    The multiplications are exact. The activations are those of the two-stem networks, within 5 %.
    """
    layers = list(_layers(spec))
    macs = sum(each.macs for each in layers)
    match spec.precision:
        case "int8":
            in_float = 0
        case "mixed":
            in_float = sum(each.macs for each in layers if each.name in KEPT_FLOAT)
        case _:
            in_float = macs
    is_quantized = in_float < macs
    return Cost(
        macs_int8=macs - in_float,
        macs_float=in_float,
        weights=WEIGHTS if is_quantized else WEIGHTS_FP32,
        activations=4 * sum(each.values for each in layers),
        memory_mb=MEMORY_MB if is_quantized else MEMORY_MB_FP32,
    )


def _layers(spec: GraphSpec) -> Iterator[_Layer]:
    needed = rows_needed(spec)
    for name, inputs, outputs in widths():
        side, number = name.split("/")
        if side == "encoder":
            yield _down(name, inputs, outputs, spec.T, int(number))
        else:
            yield _up(name, inputs, outputs, needed, spec.T, DEPTH - int(number))
    places = spec.B * BINS
    masks = 6 * CHANNELS * places + _cut(CHANNELS * spec.T * BINS, CHANNELS * places)
    yield _Layer("head", 16 * CHANNELS * places, 3 * places + masks)


def _down(name: str, inputs: int, outputs: int, rows: int, level: int) -> _Layer:
    """Return a level of the encoder: a convolution with stride 2, and its activation."""
    places = (rows >> level) * (BINS >> level)
    activation = 2 * outputs if level < DEPTH else 0
    values = (4 * inputs + outputs + activation) * places
    return _Layer(name, 25 * inputs * outputs * places, values)


def _up(
    name: str, inputs: int, outputs: int, needed: list[tuple[int, int]], rows: int, level: int
) -> _Layer:
    """Return a level of the decoder: a sub-pixel convolution, and the join with the encoder's."""
    (start, stop), (first, last) = needed[level], needed[level + 1]
    bins = BINS >> level
    places = (-(-stop // 2) - start // 2) * bins // 2  # each becomes four of the output
    read, written = inputs * (last - first) * bins // 2, 4 * outputs * places
    part, whole = outputs * (stop - start) * bins, outputs * (rows >> level) * bins
    is_cut = part < whole
    # How often the operations read and write the values: cut, padded and convolved for each parity,
    # then joined and interleaved; wide layers have four convolutions, narrow ones have one.
    if outputs >= SPLIT_FROM:
        taps, values = 25, (16 if is_cut else 10) * read + 5 * written
    else:
        taps, values = 36, (3 if is_cut else 1) * read + 3 * written
    values += _cut(written, part)
    values += 8 * part + _cut(whole, part) if level else 2 * part  # the join, and the shift
    return _Layer(name, taps * inputs * outputs * places, values)


def _cut(whole: int, part: int) -> int:
    """Return how many values it takes to keep a part."""
    return whole + part if part < whole else 0
