"""Compiles a stem's network for streaming: the numbers of the plain graph, with less work.

Three changes. They are exact except for rounding. Transposed convolutions become convolutions with
sub-pixel outputs (Shi et al., "Is the deconvolution layer the same as a convolutional layer?",
2016), which the interpreter's kernels run many times faster. Only B of the T spectra are needed, so
every level of the decoder computes only the rows that influence them. Normalisation becomes part of
the kernels; only one addition per norm remains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from stemd.tflite_models.graphs.graph_file import OUTPUTS, notes
from stemd.tflite_models.graphs.rows import ADVANCE
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.graphs.writer import MAIN, ModelWriter, Tensor
from stemd.tflite_models.spleeter.architecture import (
    DEPTH,
    HEAD_REACH,
    KEPT_FLOAT,
    Activation,
    check_window,
    rows_needed,
)
from stemd.tflite_models.spleeter.encoder import Encoder, Strip
from stemd.tflite_models.spleeter.family import COMPILED_VERSION
from stemd.tflite_models.spleeter.layers import VALID, Layers, Place
from stemd.tflite_models.spleeter.settled import settled_levels
from stemd.tflite_models.spleeter.unet import Convolution, FloatArray, Norm, UNet

HOMOGENEOUS: tuple[Activation, ...] = ("relu", "leaky_relu")
"""Activations that let a positive factor through: ``f(c · x) = c · f(x)``."""


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
    emitted = (spec.first, spec.first + spec.B)
    needed = rows_needed(spec)
    encoder = Encoder(layers, unet, spec)
    joined, *skips = reversed(encoder.estimate(needed))
    readers = [*unet.decoder[1:], unet.head]
    for n, (convolution, reader) in enumerate(zip(unet.decoder, readers, strict=True)):
        level, name = DEPTH - n - 1, f"decoder/{n + 1}"
        gain = _readers_gain(reader, len(convolution.bias))
        up = _up(layers, unet, joined, convolution, gain, needed[level], name)
        if skips:
            up = _join(layers, skips.pop(0), up, name)
        joined = up.shifted(layers, name)
    out = _logits(layers, joined, unet.head, emitted)
    if unet.masks == "sigmoid":
        mask = writer.op("LOGISTIC", [out], "mask", out.shape)
        out = writer.op("MUL", [mask, encoder.emitted()], OUTPUTS["sigmoid"], mask.shape)
    metadata = notes(unet.stem, unet.details(), spec, COMPILED_VERSION, about)
    signature = encoder.inputs, {OUTPUTS[unet.masks]: out}
    if not settled_levels(spec):
        return writer.finish(*signature, metadata)
    writer.end_graph(MAIN, *signature)
    encoder = Encoder(layers, unet, spec)
    outputs = encoder.advance()
    return writer.finish(encoder.inputs, outputs, metadata, ADVANCE)


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
    activation, norm = unet.activations.decoder, convolution.norm or Norm.none(len(gain))
    factor = gain * np.abs(norm.scale)
    sign = np.where(norm.scale < 0, -1, 1).astype(np.float32)
    is_folded = activation in HOMOGENEOUS
    layer = convolution.scaled(x.scale, factor if is_folded else np.ones_like(factor))
    place = Place(x.start, x.rows)
    tensor = layers.subpixel(x.tensor, place, layer, name, activation, wanted)
    shift, scale = gain * sign * norm.shift, sign / gain
    start = wanted[0] // 2 * 2
    up = Strip(tensor, start, start + tensor.shape[1], 2 * x.rows, shift, scale)
    up = up.cut(layers, *wanted, name)
    return up if is_folded else replace(up, tensor=layers.scale(up.tensor, factor, name))


def _join(layers: Layers, skip: Strip, up: Strip, name: str) -> Strip:
    tensor = layers.concatenate(skip.tensor, up.tensor, f"{name}/joined")
    shift, scale = (
        np.concatenate(parts) for parts in ((skip.shift, up.shift), (skip.scale, up.scale))
    )
    return replace(up, tensor=tensor, shift=shift, scale=scale)


def _logits(layers: Layers, x: Strip, head: Convolution, emitted: tuple[int, int]) -> Tensor:
    """Add the head; the mask's logits have the emitted rows."""
    above = x.start - (emitted[0] - HEAD_REACH)
    below = emitted[1] + HEAD_REACH - x.stop
    padded = layers.pad(x.tensor, (above, below), (HEAD_REACH, HEAD_REACH), "head")
    layer = head.scaled(x.scale, np.ones_like(head.bias))
    return layers.convolution(padded, layer, "head", dilation=2, padding=VALID)
