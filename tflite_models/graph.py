"""Writes a stem's network as a graph of TFLite operations.

Everything that turns weights and a `GraphSpec` into operations stands here; whoever writes
other operations for the same numbers raises `WRITER`, so that no stale graph is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from stemd.tflite_models.model_writer import ModelWriter, Tensor
from stemd.tflite_models.spec import GraphSpec
from stemd.tflite_models.unet import (
    BINS,
    CHANNELS,
    LEAKY_SLOPE,
    Activation,
    Convolution,
    FloatArray,
    Norm,
    UNet,
)

WRITER = 1
"""Version of what this module writes; part of the key of every cached graph."""

HALVED_FROM = 2**17
"""Elements of a kernel from which on float16 is worth its error.

The smaller kernels, at the ends of the network, are 2 % of the weights, and in float16 they alone
would cost 10 dB of agreement with float32.
"""

INPUT = "magnitudes"
OUTPUT = "stem_magnitudes"
METADATA = "stemd"

_SAME = 0  # Padding.SAME
_OPERATORS: dict[Activation, str] = {"leaky_relu": "LEAKY_RELU", "relu": "RELU", "elu": "ELU"}


def write_graph(unet: UNet, spec: GraphSpec, about: Mapping[str, Any]) -> bytes:
    """Write the graph of one stem for one spec.

    Its input `magnitudes` is float32 [shape=(1, T, 1024, 2)], linear magnitudes of the mixture's
    STFT; its output `stem_magnitudes` is float32 [shape=(1, B, 1024, 2)], those of the stem.

    Parameters
    ----------
    unet : UNet
        The weights.
    spec : GraphSpec
        The window, and the precision of the weights in the file.
    about : mapping
        Provenance and licence, kept in the file's metadata.

    Returns
    -------
    bytes
        The file, the same for the same arguments.
    """
    writer = ModelWriter(f"stemd: {unet.stem}, {spec}")
    layers = _Layers(writer, half=spec.precision == "fp16")
    window = writer.value(INPUT, (1, spec.T, BINS, CHANNELS))
    whole = writer.op("MUL", [_mask(layers, unet, window), window], "masked", window.shape)
    emitted = layers.slice_rows(whole, spec.first, spec.B, OUTPUT)
    metadata = {METADATA: json.dumps(_metadata(unet, spec, about)).encode()}
    return writer.finish({INPUT: window}, {OUTPUT: emitted}, metadata)


def _metadata(unet: UNet, spec: GraphSpec, about: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "stem": unet.stem,
        "encoder_activation": unet.activations.encoder,
        "decoder_activation": unet.activations.decoder,
        "graph": spec.as_dict(),
        "writer": WRITER,
        **about,
    }


def _mask(layers: _Layers, unet: UNet, window: Tensor) -> Tensor:
    """Write encoder, decoder and head; the mask has the window's shape."""
    skips: list[Tensor] = []
    x = window
    for level, convolution in enumerate(unet.encoder, 1):
        name = f"encoder/{level}"
        x = layers.convolution(x, convolution, name, stride=2)
        skips.append(x)  # before norm and activation
        if convolution.norm is not None:
            x = layers.norm(x, convolution.norm, name)
            x = layers.activation(x, unet.activations.encoder, name)
    skips.pop()  # the bottleneck is no skip
    for level, convolution in enumerate(unet.decoder, 1):
        name = f"decoder/{level}"
        x = layers.transposed(x, convolution, name)
        x = layers.activation(x, unet.activations.decoder, name)
        if convolution.norm is not None:
            x = layers.norm(x, convolution.norm, name)
        if skips:
            x = layers.concatenate(skips.pop(), x, f"{name}/joined")
    x = layers.convolution(x, unet.head, "head", dilation=2)
    return layers.writer.op("LOGISTIC", [x], "mask", x.shape)


class _Layers:
    """The layers of the U-Net in terms of TFLite's operators; tensors are (1, rows, bins, n)."""

    def __init__(self, writer: ModelWriter, half: bool) -> None:
        self.writer = writer
        self._half = half

    def convolution(
        self, x: Tensor, layer: Convolution, name: str, stride: int = 1, dilation: int = 1
    ) -> Tensor:
        _, rows, bins, _ = x.shape
        shape = (1, rows // stride, bins // stride, len(layer.bias))
        return self.writer.op(
            "CONV_2D",
            [x, *self._weights(layer, name)],
            name,
            shape,
            padding=_SAME,
            strideH=stride,
            strideW=stride,
            dilationHFactor=dilation,
            dilationWFactor=dilation,
        )

    def transposed(self, x: Tensor, layer: Convolution, name: str) -> Tensor:
        _, rows, bins, _ = x.shape
        shape = (1, 2 * rows, 2 * bins, len(layer.bias))
        size = self.writer.constant(f"{name}/shape", np.array(shape, np.int32))
        kernel, bias = self._weights(layer, name)
        return self.writer.op(
            "TRANSPOSE_CONV",
            [size, kernel, x, bias],
            name,
            shape,
            padding=_SAME,
            strideH=2,
            strideW=2,
        )

    def norm(self, x: Tensor, norm: Norm, name: str) -> Tensor:
        scale = self.writer.constant(f"{name}/scale", norm.scale)
        shift = self.writer.constant(f"{name}/shift", norm.shift)
        scaled = self.writer.op("MUL", [x, scale], f"{name}/scaled", x.shape)
        return self.writer.op("ADD", [scaled, shift], f"{name}/normed", x.shape)

    def activation(self, x: Tensor, kind: Activation, name: str) -> Tensor:
        options = {"alpha": LEAKY_SLOPE} if kind == "leaky_relu" else {}
        return self.writer.op(_OPERATORS[kind], [x], f"{name}/activated", x.shape, **options)

    def concatenate(self, skip: Tensor, x: Tensor, name: str) -> Tensor:
        shape = (*x.shape[:3], skip.shape[3] + x.shape[3])
        return self.writer.op("CONCATENATION", [skip, x], name, shape, axis=3)

    def slice_rows(self, x: Tensor, first: int, rows: int, name: str) -> Tensor:
        shape = (1, rows, *x.shape[2:])
        begin = self.writer.constant(f"{name}/begin", np.array((0, first, 0, 0), np.int32))
        size = self.writer.constant(f"{name}/size", np.array(shape, np.int32))
        return self.writer.op("SLICE", [x, begin, size], name, shape)

    def _weights(self, layer: Convolution, name: str) -> tuple[Tensor, Tensor]:
        kernel = self._kernel(f"{name}/kernel", layer.kernel)
        return kernel, self.writer.constant(f"{name}/bias", layer.bias)

    def _kernel(self, name: str, kernel: FloatArray) -> Tensor:
        if not self._half or kernel.size < HALVED_FROM:
            return self.writer.constant(name, kernel)
        halved = self.writer.constant(name, kernel.astype(np.float16))
        return self.writer.op("DEQUANTIZE", [halved], f"{name}/float32", kernel.shape)
