"""The U-Net as PyTorch computes it, from and to the weights of `stemd.tflite_models`.

Batch norms are at rest, one scale and one shift for each channel as in the files: with a few
spectra in a batch, statistics of one's own would be worth nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stemd.dsp.masks import EPSILON
from stemd.dsp.scheme import HOP_LENGTH, MODEL_BINS, N_FFT
from stemd.dsp.stft import hann
from stemd.tflite_models.unet import (
    DEPTH,
    LEAKY_SLOPE,
    Activation,
    Activations,
    FloatArray,
    UNet,
    from_tensors,
)

Weights = Mapping[str, Tensor]
"""By the names of `UNet.tensors`; kernels in PyTorch's order of axes."""

BY_OUTPUT = (1, 2, 3)
"""One scale for each output of a kernel."""
BY_OUTPUT_TRANSPOSED = (0, 2, 3)
"""The same, where PyTorch has the inputs first."""
BY_MIXTURE = (1, 2, 3)
"""One scale for each mixture, whatever the channel."""

_TO_TORCH = {"encoder": (0, 3, 1, 2), "decoder": (3, 0, 1, 2), "head": (0, 3, 1, 2)}
_TO_TFLITE = {"encoder": (0, 2, 3, 1), "decoder": (1, 2, 3, 0), "head": (0, 2, 3, 1)}


def weights_of(unet: UNet) -> dict[str, Tensor]:
    """Copy the weights of a network."""
    return {
        name: torch.from_numpy(_moved(array, name, _TO_TORCH))
        for name, array in unet.tensors().items()
    }


def unet_of(stem: str, activations: Activations, weights: Weights) -> UNet:
    """Give the network with these weights."""
    arrays = {
        name: _moved(weight.detach().numpy(), name, _TO_TFLITE) for name, weight in weights.items()
    }
    return from_tensors(stem, activations, arrays)


def _moved(array: FloatArray, name: str, axes: Mapping[str, tuple[int, ...]]) -> FloatArray:
    if array.ndim == 4:
        array = array.transpose(axes[name.split("/")[0]])
    return np.array(array, np.float32, order="C")


def estimate(
    weights: Weights, activations: Activations, magnitudes: Tensor, rounded: bool = False
) -> Tensor:
    """Estimate a stem's magnitudes.

    Parameters
    ----------
    weights : Weights
    activations : Activations
    magnitudes : float32 [shape=(batch, channels, spectra, MODEL_BINS)]
        Of the mixture; spectra a multiple of 64.
    rounded : bool
        Round what goes into each convolution to 8 bits, as the interpreter's does, and the kernels
        too; gradients pass as if nothing was rounded.

    Returns
    -------
    float32, of the same shape
    """
    rounding = rounded_to_8_bits if rounded else _as_it_is
    x = magnitudes
    skips = []
    for level in range(1, DEPTH + 1):
        name = f"encoder/{level}"
        # Of TensorFlow's three rows and bins of padding, one comes before.
        padded = functional.pad(rounding(x, BY_MIXTURE), (1, 2, 1, 2))
        kernel = rounding(weights[f"{name}/kernel"], BY_OUTPUT)
        y = functional.conv2d(padded, kernel, weights[f"{name}/bias"], stride=2)
        skips.append(y)
        if level < DEPTH:
            x = _activated(_normed(y, weights, name), activations.encoder)
    x = skips.pop()
    for level in range(1, DEPTH + 1):
        name = f"decoder/{level}"
        kernel = rounding(weights[f"{name}/kernel"], BY_OUTPUT_TRANSPOSED)
        y = functional.conv_transpose2d(
            rounding(x, BY_MIXTURE), kernel, weights[f"{name}/bias"], stride=2, padding=1
        )[..., :-1, :-1]
        y = _normed(_activated(y, activations.decoder), weights, name)
        x = torch.cat([skips.pop(), y], 1) if skips else y
    padded = functional.pad(rounding(x, BY_MIXTURE), (3, 3, 3, 3))
    kernel = rounding(weights["head/kernel"], BY_OUTPUT)
    logits = functional.conv2d(padded, kernel, weights["head/bias"], dilation=2)
    return torch.sigmoid(logits) * magnitudes


def rounded_to_8_bits(x: Tensor, together: tuple[int, ...]) -> Tensor:
    """Round to the 255 steps that span the largest magnitude; gradients pass unchanged.

    Parameters
    ----------
    x : float32
    together : tuple of int
        Axes along which one scale holds.
    """
    with torch.no_grad():
        scale = x.abs().amax(together, keepdim=True).clamp_min(1e-12) / 127
        change = torch.round(x / scale) * scale - x
    return x + change


def _as_it_is(x: Tensor, _: tuple[int, ...]) -> Tensor:
    return x


def _normed(x: Tensor, weights: Weights, name: str) -> Tensor:
    scale, shift = weights[f"{name}/scale"], weights[f"{name}/shift"]
    return x * scale[:, None, None] + shift[:, None, None]


def _activated(x: Tensor, activation: Activation) -> Tensor:
    match activation:
        case "leaky_relu":
            return functional.leaky_relu(x, LEAKY_SLOPE)
        case "relu":
            return functional.relu(x)
        case "elu":
            return functional.elu(x)


def ratio_masks(estimates: Tensor) -> Tensor:
    """Share each bin among the stems, as `stemd.dsp.masks` does.

    Parameters
    ----------
    estimates : float32 [shape=(batch, stems, ...)]

    Returns
    -------
    float32, of the same shape
    """
    power = estimates.square()
    return (power + EPSILON / power.shape[1]) / (power.sum(1, keepdim=True) + EPSILON)


def analyse(waveforms: Tensor) -> Tensor:
    """Transform waveforms as `stemd.dsp.stft` does, and keep the bins that networks see.

    Parameters
    ----------
    waveforms : float32 [shape=(..., frames)]

    Returns
    -------
    complex64 [shape=(..., spectra, MODEL_BINS)]
    """
    windowed = waveforms.unfold(-1, N_FFT, HOP_LENGTH) * torch.from_numpy(hann())
    spectra = torch.fft.rfft(windowed)
    return spectra[..., :MODEL_BINS].contiguous()
