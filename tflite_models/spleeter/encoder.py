"""The encoder of a compiled graph, which keeps the rows that have settled from block to block.

Two graphs have a part of it each. One is run once for each block of the music, and settles rows:
see `settled`. The other one reads them, and computes the rest: the first row of each level, which
reads the padding before the window, and the last ones, which read what is made up or not yet heard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stemd.tflite_models.graphs.graph_file import INPUT
from stemd.tflite_models.graphs.rows import Rows
from stemd.tflite_models.graphs.spec import CHANNELS, GraphSpec
from stemd.tflite_models.graphs.writer import Tensor
from stemd.tflite_models.spleeter.architecture import BINS, DEPTH, Activation
from stemd.tflite_models.spleeter.layers import VALID, Layers
from stemd.tflite_models.spleeter.settled import Settled, settled_levels
from stemd.tflite_models.spleeter.unet import Convolution, FloatArray, Norm, UNet

MOST_SHIFT = 32
"""A norm that shifts a channel by more than so many times its scale is computed by itself: the
skip, taken before it, could not be computed from what comes after it without losing digits."""

BEFORE, AFTER = 1, 2
"""Rows and bins that a convolution reads before and after those that it makes one of; TensorFlow's
padding "same" of an even number."""

Range = tuple[int, int]
"""The first row, and the one after the last."""


@dataclass(frozen=True)
class Strip:
    """Rows ``start`` to ``stop`` of a level that has ``rows`` of them.

    The network's own values there are ``(tensor + shift) * scale``, channel by channel: the
    layer that reads the strip does the rest of the norms.
    """

    tensor: Tensor
    start: int
    stop: int
    rows: int
    shift: FloatArray
    scale: FloatArray

    def cut(self, layers: Layers, start: int, stop: int, name: str) -> Strip:
        """Keep the rows from ``start`` to ``stop`` of the level."""
        if (start, stop) == (self.start, self.stop):
            return self
        tensor = layers.slice_rows(self.tensor, start - self.start, stop - start, f"{name}/cut")
        return replace(self, tensor=tensor, start=start, stop=stop)

    def shifted(self, layers: Layers, name: str) -> Strip:
        """Add the shift, as must be done before zeros are padded; the scale is for the kernel."""
        if not self.shift.any():
            return self
        tensor = layers.shift(self.tensor, self.shift, name)
        return replace(self, tensor=tensor, shift=np.zeros_like(self.shift))


class _Level:
    """One convolution of the encoder, with what follows it."""

    def __init__(self, layers: Layers, unet: UNet, number: int) -> None:
        convolution = unet.encoder[number - 1]
        norm = convolution.norm
        self.name = f"encoder/{number}"
        self.shift = np.zeros_like(convolution.bias)
        self.scale = np.ones_like(convolution.bias)
        if norm is not None and _can_be_taken_back(norm):
            convolution = _normed(convolution, norm)
            self.shift, self.scale, norm = -norm.shift, np.float32(1) / norm.scale, None
        self._convolution, self._norm = convolution, norm
        self._activation: Activation = unet.activations.encoder
        self._layers = layers
        self._number = number

    @property
    def shape(self) -> tuple[int, int]:
        """Bins and channels."""
        return BINS >> self._number, len(self._convolution.bias)

    def whole(self, x: Tensor) -> Tensor:
        """Add the convolution of all rows of the level below.

        Where these are two, other taps than theirs read nothing but padding.
        """
        layer = self._convolution
        if x.shape[1] == 2:
            layer = replace(layer, kernel=layer.kernel[:, BEFORE : BEFORE + 2])
        return self._layers.convolution(x, layer, self.name, stride=2)

    def rows(self, x: Tensor, padding: Range, part: str) -> Tensor:
        """Add the convolution of some rows, with so many of the padding's before and after them."""
        padded = self._layers.pad(x, padding, (BEFORE, AFTER), f"{self.name}{part}")
        return self._layers.convolution(
            padded, self._convolution, self.name, stride=2, padding=VALID
        )

    def passed_on(self, y: Tensor) -> Tensor:
        """Add norm and activation, which the next level reads."""
        if self._norm is not None:
            y = self._layers.norm(y, self._norm, self.name)
        if self._number < DEPTH:
            y = self._layers.activation(y, self._activation, self.name)
        return y

    def strip(self, tensor: Tensor, start: int, rows: int) -> Strip:
        """Return rows of the level, before the norm, for the decoder."""
        return Strip(tensor, start, start + tensor.shape[1], rows, self.shift, self.scale)


class _Pieces:
    """Rows of a level, or of the window, that are in several tensors.

    Parameters
    ----------
    layers : Layers
    level : _Level, optional
        None: the window.
    """

    def __init__(self, layers: Layers, level: _Level | None = None) -> None:
        self._layers = layers
        self._level = level
        self._pieces: list[tuple[int, Tensor]] = []

    def add(self, start: int, tensor: Tensor) -> None:
        """Add a tensor whose first row is ``start``; they come in order."""
        self._pieces.append((start, tensor))

    def take(self, start: int, stop: int) -> Tensor:
        """Add what makes one tensor of the rows from ``start`` to ``stop``."""
        name = f"{self._level.name if self._level else INPUT}/from{start}"
        parts = []
        for first, tensor in self._pieces:
            begin, end = max(start, first), min(stop, first + tensor.shape[1])
            if begin < end:
                is_whole = end - begin == tensor.shape[1]
                cut = (begin - first, end - begin, f"{name}/cut{begin}")
                parts.append(tensor if is_whole else self._layers.slice_rows(tensor, *cut))
        return self._layers.join_rows(parts, name)

    def read(self, start: int, stop: int) -> Tensor:
        """Add what makes of these rows what the next level reads."""
        rows = self.take(start, stop)
        return self._level.passed_on(rows) if self._level else rows


def _can_be_taken_back(norm: Norm) -> bool:
    scale = np.abs(norm.scale)
    return bool((scale > 0).all() and (np.abs(norm.shift) <= MOST_SHIFT * scale).all())


def _normed(convolution: Convolution, norm: Norm) -> Convolution:
    """Put the norm that follows a convolution into it."""
    scaled = convolution.scaled(np.ones(convolution.kernel.shape[3], np.float32), norm.scale)
    return Convolution(scaled.kernel, scaled.bias + norm.shift)


class Encoder:
    """Writes the encoder's part of a graph.

    Attributes
    ----------
    inputs : dict of str to Tensor
        Of the graph, by name.

    Parameters
    ----------
    layers : Layers
    unet : UNet
    spec : GraphSpec
    """

    def __init__(self, layers: Layers, unet: UNet, spec: GraphSpec) -> None:
        self.inputs: dict[str, Tensor] = {}
        self._layers = layers
        self._spec = spec
        self._levels = [_Level(layers, unet, number) for number in range(1, DEPTH + 1)]
        self._settled = settled_levels(spec)
        self._window = _Pieces(layers)

    def estimate(self, needed: Sequence[Range]) -> list[Strip]:
        """Write all levels; return the rows of each that the decoder needs.

        They are what the convolutions give, from the lowest level up: as before the norm, but a
        convolution whose norm is in its kernel has only what comes after it.

        Parameters
        ----------
        needed : sequence of Range
            By level, from the window on.
        """
        reads = rows_read(self._spec, needed)
        for rows in reads[0]:
            self._window.add(rows[0], self._input(1, *rows))
        below, strips = self._window, []
        for number, level in enumerate(self._levels, 1):
            pieces = _Pieces(self._layers, level)
            if number < len(reads):
                kept = self._settled[number - 1]
                self._add_settled(pieces, level, below, kept, reads[number])
            else:
                pieces.add(0, level.whole(below.read(0, self._spec.T >> number - 1)))
            tensor = pieces.take(*needed[number])
            strips.append(level.strip(tensor, needed[number][0], self._spec.T >> number))
            below = pieces
        return strips

    def emitted(self) -> Tensor:
        """Add the window's emitted rows, after `estimate`."""
        return self._window.take(self._spec.first, self._spec.first + self._spec.B)

    def advance(self) -> dict[str, Tensor]:
        """Write the rows that settle with a block; return the outputs by name."""
        below, outputs = self._window, {}
        reads = [rows_below(each.new, each.stop) for each in self._settled]
        below.add(reads[0][0], self._input(1, *reads[0]))
        for n, (level, kept) in enumerate(zip(self._levels, self._settled, strict=False)):
            settling = level.rows(below.read(*reads[n]), (0, 0), "")
            outputs[str(Rows(kept.step, kept.new, kept.stop))] = settling
            below = _Pieces(self._layers, level)
            for start, stop in reads[n + 1 : n + 2]:
                below.add(start, self._input(kept.step, start, min(stop, kept.new)))
            below.add(kept.new, settling)
        return outputs

    def _add_settled(
        self, pieces: _Pieces, level: _Level, below: _Pieces, kept: Settled, reads: list[Range]
    ) -> None:
        """Add to the pieces of a level what is kept of it, and what is not."""
        first = below.read(*rows_below(0, 1))
        pieces.add(0, level.rows(first, (BEFORE, 0), "/first"))
        for start, stop in reads:
            start, stop = max(start, 1), min(stop, kept.stop)  # noqa: PLW2901
            if start < stop:
                pieces.add(start, self._input(kept.step, start, stop))
        last = below.read(rows_below(kept.stop, kept.rows)[0], 2 * kept.rows)
        pieces.add(kept.stop, level.rows(last, (0, AFTER), "/last"))

    def _input(self, step: int, start: int, stop: int) -> Tensor:
        bins, channels = self._levels[step.bit_length() - 2].shape if step > 1 else (BINS, CHANNELS)
        name = str(Rows(step, start, stop)) if self._settled else INPUT
        tensor = self._layers.writer.value(name, (1, stop - start, bins, channels))
        self.inputs[name] = tensor
        return tensor


def rows_below(start: int, stop: int) -> Range:
    """Return which rows of the level below those from ``start`` to ``stop`` are made of.

    The first row's first is the padding's, and not counted; the last one's last ones are.
    """
    return max(2 * start - BEFORE, 0), 2 * stop + AFTER


def rows_read(spec: GraphSpec, needed: Sequence[Range]) -> list[list[Range]]:
    """Return which rows of the window, and of each level that is kept, the estimate reads.

    Parameters
    ----------
    spec : GraphSpec
    needed : sequence of Range
        As for `Encoder.estimate`.
    """
    settled = settled_levels(spec)
    if not settled:
        return [[(0, spec.T)]]
    emitted = spec.first, spec.first + spec.B
    reads = [[emitted], *([rows] for rows in needed[1 : len(settled) + 1])]
    for below, kept in zip(reads, settled, strict=False):
        below.append(rows_below(0, 1))
        below.append((rows_below(kept.stop, kept.rows)[0], 2 * kept.rows))
    reads[-1].append((0, settled[-1].rows))
    return [_merged(ranges) for ranges in reads]


def _merged(ranges: Iterable[Range]) -> list[Range]:
    merged: list[Range] = []
    for start, stop in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], stop)
        else:
            merged.append((start, stop))
    return merged
