"""Where an official checkpoint keeps the weights of each stem's U-Net.

Variables are named as Keras numbers layers: `conv2d`, `conv2d_1` and so on through all stems,
`kernel`, `bias`, `gamma` … within.
"""

from __future__ import annotations

import numpy as np

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.graphs.spec import CHANNELS
from stemd.tflite_models.spleeter.architecture import DEPTH, Architecture
from stemd.tflite_models.spleeter.checkpoint import Checkpoint
from stemd.tflite_models.spleeter.unet import Convolution, FloatArray, Norm, UNet

_NORM_EPSILON = 0.001  # the default of Keras, which Spleeter leaves


def read_unet(checkpoint: Checkpoint, architecture: Architecture, stem: str) -> UNet:
    """Read the network of one stem out of a checkpoint.

    Kernels and biases are the checkpoint's own numbers; a batch norm's four vectors become
    scale and shift, worked out in float64.

    Raises
    ------
    ModelError
        The checkpoint is not of this architecture, or holds numbers that are not finite.
    """
    _check_count(checkpoint, architecture)
    reader = _Reader(checkpoint, architecture.stems.index(stem))
    down = architecture.filters
    up = (*down[-2::-1], 1)
    sources = (CHANNELS, *down)
    # What comes up is joined by the skip of equal width, hence twice the channels.
    joined = (down[-1], *(2 * width for width in up[:-1]))
    return UNet(
        stem,
        architecture.activations,
        encoder=tuple(
            reader.convolution(n, (5, 5, sources[n], down[n]), n if n < DEPTH - 1 else None)
            for n in range(DEPTH)
        ),
        decoder=tuple(
            reader.transposed(n, (5, 5, up[n], joined[n]), DEPTH + n) for n in range(DEPTH)
        ),
        head=reader.convolution(DEPTH, (4, 4, 1, CHANNELS), None),
        masks=architecture.masks,
    )


def _check_count(checkpoint: Checkpoint, architecture: Architecture) -> None:
    stems = architecture.stems
    if f"conv2d_{(DEPTH + 1) * len(stems)}/kernel" in checkpoint:
        raise ModelError(
            f"the checkpoint has networks for more than {len(stems)} stems "
            f"({', '.join(stems)}); install it under its own name"
        )


class _Reader:
    """Finds one stem's variables, which are numbered through all stems."""

    def __init__(self, checkpoint: Checkpoint, position: int) -> None:
        self._checkpoint = checkpoint
        self._position = position

    def convolution(self, n: int, shape: tuple[int, ...], norm: int | None) -> Convolution:
        kernel, bias = self._kernel("conv2d", n, DEPTH + 1, shape, shape[3])
        return Convolution(
            np.ascontiguousarray(kernel.transpose(3, 0, 1, 2)),
            bias,
            None if norm is None else self._norm(norm, shape[3]),
        )

    def transposed(self, n: int, shape: tuple[int, ...], norm: int) -> Convolution:
        kernel, bias = self._kernel("conv2d_transpose", n, DEPTH, shape, shape[2])
        return Convolution(
            np.ascontiguousarray(kernel.transpose(2, 0, 1, 3)), bias, self._norm(norm, shape[2])
        )

    def _kernel(
        self, kind: str, n: int, per_stem: int, shape: tuple[int, ...], outputs: int
    ) -> tuple[FloatArray, FloatArray]:
        layer = self._layer(kind, n, per_stem)
        return self._read(f"{layer}/kernel", shape), self._read(f"{layer}/bias", (outputs,))

    def _norm(self, n: int, channels: int) -> Norm:
        layer = self._layer("batch_normalization", n, 2 * DEPTH)
        gamma, beta, mean, variance = (
            self._read(f"{layer}/{part}", (channels,)).astype(np.float64)
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        if variance.min() < 0:
            raise ModelError(f"{layer}/moving_variance: {variance.min()} is below 0; damaged?")
        scale = gamma / np.sqrt(variance + _NORM_EPSILON)
        shift = beta - mean * scale
        return Norm(scale.astype(np.float32), shift.astype(np.float32))

    def _layer(self, kind: str, n: int, per_stem: int) -> str:
        number = self._position * per_stem + n
        return f"{kind}_{number}" if number else kind

    def _read(self, name: str, shape: tuple[int, ...]) -> FloatArray:
        array = self._checkpoint.read(name, shape)
        if not np.isfinite(array).all():
            raise ModelError(f"{name}: has numbers that are not finite; damaged?")
        return array
