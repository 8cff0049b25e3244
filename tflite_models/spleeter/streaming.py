"""Compiles a stem's network for streaming: the numbers of the plain graph, with less work.

Three changes. They are exact except for rounding. Transposed convolutions become convolutions with
sub-pixel outputs (Shi et al., "Is the deconvolution layer the same as a convolutional layer?",
2016), which the interpreter's kernels run many times faster. Only B of the T spectra are needed, so
every level of the decoder computes only the rows that influence them. Normalisation becomes part of
the kernels; only one addition per norm remains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stemd.tflite_models.graphs.graph_file import INPUT, OUTPUTS, notes
from stemd.tflite_models.graphs.spec import CHANNELS, GraphSpec
from stemd.tflite_models.graphs.writer import ModelWriter, Tensor
from stemd.tflite_models.spleeter.architecture import (
    BINS,
    DEPTH,
    HEAD_REACH,
    KEPT_FLOAT,
    Activation,
    check_window,
    rows_needed,
)
from stemd.tflite_models.spleeter.family import COMPILED_VERSION
from stemd.tflite_models.spleeter.layers import VALID, Layers
from stemd.tflite_models.spleeter.unet import Convolution, FloatArray, Norm, UNet

MOST_SHIFT = 32
"""A norm that shifts a channel by more than so many times its scale is computed by itself: the
skip, taken before it, could not be computed from what comes after it without losing digits."""

HOMOGENEOUS: tuple[Activation, ...] = ("relu", "leaky_relu")
"""Activations that let a positive factor through: ``f(c · x) = c · f(x)``."""


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


def compile_graph(
    unet: UNet, spec: GraphSpec, about: Mapping[str, Any], kept: frozenset[str] = KEPT_FLOAT
) -> bytes:
    """Write the graph of one stem for one spec.

    Its input and output are those of `plain.write_graph`. In fp32 so are its numbers, but for
    rounding: at most 1e-5 of the largest output.

    Parameters
    ----------
    unet : UNet
        The weights.
    spec : GraphSpec
        The window, the rows that are emitted, and the precision.
    about : mapping
        Provenance and licence, kept in the file's metadata.
    kept : frozenset of str
        Layers that `mixed` keeps in float32; others than the usual ones are for measuring.

    Returns
    -------
    bytes
        The file, the same for the same arguments. Where other operations are written for the same
        numbers, raise `COMPILED_VERSION`.

    Raises
    ------
    ValueError
        The window is no multiple of the stride.
    """
    check_window(spec)
    writer = ModelWriter(f"stemd: {unet.stem}, {spec}, compiled")
    layers = Layers(writer, spec.precision, kept)
    window = writer.value(INPUT, (1, spec.T, BINS, CHANNELS))
    bottleneck, *skips = reversed(_encode(layers, unet, window))
    emitted = (spec.first, spec.first + spec.B)
    needed = rows_needed(spec)
    joined = bottleneck.cut(layers, *needed[DEPTH], "decoder")
    readers = [*unet.decoder[1:], unet.head]
    for n, (convolution, reader) in enumerate(zip(unet.decoder, readers, strict=True)):
        level, name = DEPTH - n - 1, f"decoder/{n + 1}"
        gain = _readers_gain(reader, len(convolution.bias))
        up = _up(layers, unet, joined, convolution, gain, needed[level], name)
        if skips:
            up = _join(layers, skips.pop(0).cut(layers, *needed[level], f"{name}/skip"), up, name)
        joined = up.shifted(layers, name)
    out = _logits(layers, joined, unet.head, emitted)
    if unet.masks == "sigmoid":
        out = _masked(layers, out, window, spec)
    metadata = notes(unet.stem, unet.details(), spec, COMPILED_VERSION, about)
    return writer.finish({INPUT: window}, {OUTPUTS[unet.masks]: out}, metadata)


def _encode(layers: Layers, unet: UNet, window: Tensor) -> list[Strip]:
    """Write the encoder; return each convolution's outputs, from the highest level down.

    The decoder gets them as they are before the norm, but a convolution whose norm is in its
    kernel has only what comes after it.
    """
    x, outputs = window, []
    for level, convolution in enumerate(unet.encoder, 1):
        name, norm = f"encoder/{level}", convolution.norm
        shift, scale = np.zeros_like(convolution.bias), np.ones_like(convolution.bias)
        if norm is not None and _can_be_taken_back(norm):
            convolution = _normed(convolution, norm)  # noqa: PLW2901
            shift, scale, norm = -norm.shift, np.float32(1) / norm.scale, None
        tensor = layers.convolution(x, convolution, name, stride=2)
        outputs.append(Strip(tensor, 0, tensor.shape[1], tensor.shape[1], shift, scale))
        x = tensor if norm is None else layers.norm(tensor, norm, name)
        x = layers.activation(x, unet.activations.encoder, name) if level < DEPTH else x
    return outputs


def _can_be_taken_back(norm: Norm) -> bool:
    scale = np.abs(norm.scale)
    return bool((scale > 0).all() and (np.abs(norm.shift) <= MOST_SHIFT * scale).all())


def _normed(convolution: Convolution, norm: Norm) -> Convolution:
    """Put the norm that follows a convolution into it."""
    scaled = convolution.scaled(np.ones(convolution.kernel.shape[3], np.float32), norm.scale)
    return Convolution(scaled.kernel, scaled.bias + norm.shift)


def _readers_gain(reader: Convolution, channels: int) -> FloatArray:
    """Return how much each of the last channels weighs in the layer that reads it.

    Returns
    -------
    float32 [shape=(channels,)]
        Norms of the kernel's parts, relative to their geometric mean; 1 where nothing is read.
    """
    kernel = reader.kernel[..., -channels:]
    weights = np.sqrt(np.square(kernel).sum(axis=(0, 1, 2)))
    weights[weights == 0] = 1
    return np.asarray(weights / np.exp(np.log(weights).mean()), np.float32)


def _up(
    layers: Layers,
    unet: UNet,
    x: Strip,
    convolution: Convolution,
    gain: FloatArray,
    wanted: tuple[int, int],
    name: str,
) -> Strip:
    """Add a level of the decoder: twice as many rows and bins.

    Its channels are written as loud as ``gain`` says, and the reader's kernel takes that back:
    quantization has one scale for all channels, and its error then weighs alike in each. (After
    Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019.)
    """
    start, stop = wanted[0] // 2, -(-wanted[1] // 2)  # in rows of x, without the halo
    x = x.cut(layers, max(start - 1, 0), min(stop + 1, x.rows), f"{name}/halo")
    outside = x.start - (start - 1), (stop + 1) - x.stop
    activation, norm = unet.activations.decoder, convolution.norm or Norm.none(len(gain))
    factor = gain * np.abs(norm.scale)
    sign = np.where(norm.scale < 0, -1, 1).astype(np.float32)
    is_folded = activation in HOMOGENEOUS
    layer = convolution.scaled(x.scale, factor if is_folded else np.ones_like(factor))
    tensor = layers.subpixel(x.tensor, layer, name, activation, outside)
    shift, scale = gain * sign * norm.shift, sign / gain
    up = Strip(tensor, 2 * start, 2 * stop, 2 * x.rows, shift, scale).cut(layers, *wanted, name)
    return up if is_folded else replace(up, tensor=layers.scale(up.tensor, factor, name))


def _join(layers: Layers, skip: Strip, up: Strip, name: str) -> Strip:
    tensor = layers.concatenate(skip.tensor, up.tensor, f"{name}/joined")
    shift, scale = (
        np.concatenate(parts) for parts in ((skip.shift, up.shift), (skip.scale, up.scale))
    )
    return replace(up, tensor=tensor, shift=shift, scale=scale)


def _masked(layers: Layers, logits: Tensor, window: Tensor, spec: GraphSpec) -> Tensor:
    """Add the mask, and the window's emitted rows times it."""
    mask = layers.writer.op("LOGISTIC", [logits], "mask", logits.shape)
    heard = window if spec.B == spec.T else layers.slice_rows(window, spec.first, spec.B, "heard")
    return layers.writer.op("MUL", [mask, heard], OUTPUTS["sigmoid"], mask.shape)


def _logits(layers: Layers, x: Strip, head: Convolution, emitted: tuple[int, int]) -> Tensor:
    """Add the head; the mask's logits have the emitted rows."""
    above = x.start - (emitted[0] - HEAD_REACH)
    below = emitted[1] + HEAD_REACH - x.stop
    padded = layers.pad(x.tensor, (above, below), (HEAD_REACH, HEAD_REACH), "head")
    layer = head.scaled(x.scale, np.ones_like(head.bias))
    return layers.convolution(padded, layer, "head", dilation=2, padding=VALID)
