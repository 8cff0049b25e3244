"""What one run of a compiled U-Net costs, calculated from the sizes of its layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stemd.tflite_models.family import Cost
from stemd.tflite_models.graphs.spec import CHANNELS, GraphSpec
from stemd.tflite_models.spleeter.architecture import (
    BINS,
    DEPTH,
    FILTERS,
    KEPT_FLOAT,
    SPLIT_FROM,
    STRIDE,
    rows_needed,
    widths,
)
from stemd.tflite_models.spleeter.phases import PARITIES, joint_phase, phase_of
from stemd.tflite_models.spleeter.settled import Settled, settled_levels

WEIGHTS, WEIGHTS_FP32 = 10e6, 39e6
"""Bytes of an official network's weights: with kernels of 8 bits, and of float32."""

LESS, LESS_FP32 = 4e6, 15e6
"""What the shortest window does not need of them: taps that read nothing but padding."""

MEMORY_MB, MEMORY_MB_FP32 = 10, 11
"""The most memory that a network needs besides its weights."""


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


def cost_of(spec: GraphSpec, filters: tuple[int, ...]) -> Cost:
    """Return what one run costs.

    The multiplications are exact. The activations are those of the two-stem networks, within 5 %.

    Parameters
    ----------
    spec : GraphSpec
    filters : tuple of int
        Channels after each convolution of the encoder.
    """
    layers = list(_layers(spec, filters))
    macs = sum(each.macs for each in layers)
    narrow = sum(each.macs for each in layers if each.name in KEPT_FLOAT)
    in_float = {"int8": 0, "mixed": narrow}.get(spec.precision, macs)
    is_quantized = in_float < macs
    share = _kernels(filters) / _kernels(FILTERS)
    weights, less = (WEIGHTS, LESS) if is_quantized else (WEIGHTS_FP32, LESS_FP32)
    return Cost(
        macs_int8=macs - in_float,
        macs_float=in_float,
        weights=share * (weights - less if spec.T == STRIDE else weights),
        activations=4 * sum(each.values for each in layers),
        memory_mb=(MEMORY_MB if is_quantized else MEMORY_MB_FP32) + share * weights / 1e6,
        macs_narrow=narrow,
    )


def _kernels(filters: tuple[int, ...]) -> int:
    """Return how many numbers there are in the kernels of a network, nearly."""
    return sum(inputs * outputs for _, inputs, outputs in widths(filters))


def _layers(spec: GraphSpec, filters: tuple[int, ...]) -> Iterator[_Layer]:
    needed, settled = rows_needed(spec), settled_levels(spec)
    for name, inputs, outputs in widths(filters):
        side, number = name.split("/")
        level = int(number) if side == "encoder" else DEPTH - int(number)
        if side == "decoder":
            yield _up(name, inputs, outputs, needed[level], needed[level + 1], spec.T >> level + 1)
        elif level <= len(settled):
            yield _kept(name, inputs, outputs, settled[level - 1], needed[level])
        else:
            follows_kept = level - 1 == len(settled) > 0
            yield _down(name, inputs, outputs, spec.T >> level, follows_kept, needed[level])
    places = spec.B * BINS
    heard = 0 if settled else _cut(CHANNELS * spec.T * BINS, CHANNELS * places)
    yield _Layer("head", 16 * CHANNELS * places, (3 + 6 * CHANNELS) * places + heard)


def _down(
    name: str, inputs: int, outputs: int, rows: int, follows_kept: bool, needed: tuple[int, int]
) -> _Layer:
    """Return a level of the encoder: a convolution with stride 2, and its activation."""
    level = int(name[-1])
    bins = BINS >> level
    values = (4 * inputs + outputs) * rows * bins
    values += 2 * outputs * rows * bins if level < DEPTH else 0
    if follows_kept:  # it is put together, and has an activation for all of it
        values += 16 * inputs * rows * bins
    values += outputs * bins * _cut(rows, needed[1] - needed[0])  # for the decoder
    taps = 5 * (2 if rows == 1 else 5)
    return _Layer(name, taps * inputs * outputs * rows * bins, values)


def _kept(name: str, inputs: int, outputs: int, kept: Settled, needed: tuple[int, int]) -> _Layer:
    """Return a level of the encoder of which the rows that have settled are kept.

    It has three convolutions: of the rows that settle, and of the first row and the last ones.
    """
    bins = BINS // kept.step
    settling, last = kept.stop - kept.new, kept.rows - kept.stop
    read = (2 * settling + 3) + 4 + (2 * last + 1)
    places = (settling + 1 + last) * bins
    # Joined, and an activation, where it is not the window; padded, convolved.
    often = 3 if kept.step == 2 else 7
    values = 2 * often * inputs * read * bins + outputs * places
    values += 3 * outputs * (needed[1] - needed[0]) * bins  # cut and joined for the decoder
    return _Layer(name, 25 * inputs * outputs * places, values)


def _up(
    name: str,
    inputs: int,
    outputs: int,
    wanted: tuple[int, int],
    below: tuple[int, int],
    rows: int,
) -> _Layer:
    """Return a level of the decoder: a sub-pixel convolution, and the join with the encoder's."""
    is_split = outputs >= SPLIT_FROM
    joint = joint_phase(wanted, rows)
    phases = [(phase_of(row, wanted, rows), column) for row, column in PARITIES]
    if not is_split:
        phases = [(joint, 1)]
    bins = BINS >> DEPTH - int(name[-1]) + 1
    together, macs, values = joint.stop - joint.start, 0, 0
    for phase, column in phases:
        made = (phase.stop - phase.start) * outputs * (1 if is_split else 4)
        macs += (phase.last - phase.first) * (2 + column) * inputs * made * bins
        first, last = max(phase.reads[0], below[0]), min(phase.reads[1], below[1])
        around = first - phase.reads[0], phase.reads[1] - last
        is_padded = not column or around != ((phase.last - phase.first - 1) / 2,) * 2
        read, padded = last - first, phase.reads[1] - phase.reads[0]
        values += inputs * bins * (_cut(below[1] - below[0], read) + read + 2 * padded * is_padded)
        values += bins * (made + (_cut(together * outputs, made) if is_split else 0))
    written = 4 * outputs * together * bins
    part = outputs * (wanted[1] - wanted[0]) * 2 * bins
    values += (4 if is_split else 2) * written + _cut(written, part)
    values += 8 * part if int(name[-1]) < DEPTH else 2 * part  # the join, and the shift
    return _Layer(name, macs, values)


def _cut(whole: int, part: int) -> int:
    """Return how many values it takes to keep a part, or to fill up to the whole."""
    return whole + part if part < whole else 0
