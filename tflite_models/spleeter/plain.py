"""Writes a stem's network as a plain graph, operation for operation as it was trained.

It is what a set of networks is kept as, and what `streaming` is measured against.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stemd.tflite_models.graphs.graph_file import INPUT, OUTPUTS, notes
from stemd.tflite_models.graphs.spec import CHANNELS, GraphSpec
from stemd.tflite_models.graphs.writer import ModelWriter, Tensor
from stemd.tflite_models.spleeter.architecture import BINS, check_window
from stemd.tflite_models.spleeter.layers import Layers
from stemd.tflite_models.spleeter.unet import UNet

PLAIN_VERSION = 1
"""Of what this module writes."""


def write_graph(unet: UNet, spec: GraphSpec, about: Mapping[str, Any]) -> bytes:
    """Write the graph of one stem for one spec.

    See `graphs.graph_file` for its input and output.

    Parameters
    ----------
    unet : UNet
        The weights.
    spec : GraphSpec
        The window, and the precision of the weights in the file: fp32 or fp16.
    about : mapping
        Provenance and licence, kept in the file's metadata.

    Returns
    -------
    bytes
        The file, the same for the same arguments.

    Raises
    ------
    ValueError
        For another precision, or a window that is no multiple of the stride.
    """
    if spec.precision not in ("fp32", "fp16"):
        raise ValueError(f"precision={spec.precision!r}: a plain graph is fp32 or fp16")
    check_window(spec)
    writer = ModelWriter(f"stemd: {unet.stem}, {spec}")
    layers = Layers(writer, spec.precision)
    window = writer.value(INPUT, (1, spec.T, BINS, CHANNELS))
    whole = _logits(layers, unet, window)
    if unet.masks == "sigmoid":
        mask = writer.op("LOGISTIC", [whole], "mask", whole.shape)
        whole = writer.op("MUL", [mask, window], "masked", window.shape)
    output = OUTPUTS[unet.masks]
    emitted = layers.slice_rows(whole, spec.first, spec.B, output)
    metadata = notes(unet.stem, unet.details(), spec, PLAIN_VERSION, about)
    return writer.finish({INPUT: window}, {output: emitted}, metadata)


def _logits(layers: Layers, unet: UNet, window: Tensor) -> Tensor:
    """Write encoder, decoder and head; the mask's logits have the window's shape."""
    x = window
    skips: list[Tensor] = []
    for level, convolution in enumerate(unet.encoder, 1):
        name = f"encoder/{level}"
        x = layers.convolution(x, convolution, name, stride=2)
        if convolution.norm is not None:  # the decoder takes the last one's output
            skips.append(x)  # before norm and activation
            x = layers.norm(x, convolution.norm, name)
            x = layers.activation(x, unet.activations.encoder, name)
    for level, convolution in enumerate(unet.decoder, 1):
        name = f"decoder/{level}"
        x = layers.transposed(x, convolution, name)
        x = layers.activation(x, unet.activations.decoder, name)
        if convolution.norm is not None:
            x = layers.norm(x, convolution.norm, name)
        if skips:
            x = layers.concatenate(skips.pop(), x, f"{name}/joined")
    return layers.convolution(x, unet.head, "head", dilation=2)
