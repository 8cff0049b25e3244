"""The U-Net as PyTorch computes it, from and to the weights of `stemd.tflite_models`.

Batch norms are at rest, one scale and one shift for each channel as in the files: with a few
spectra in a batch, statistics of one's own would be worth nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from research.training import rounding
from research.training.rounding import Weights
from stemd.dsp.masks import EPSILON
from stemd.dsp.scheme import SPLEETER
from stemd.dsp.stft import hann
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.spleeter.architecture import DEPTH, LEAKY_SLOPE, Activation, Activations
from stemd.tflite_models.spleeter.unet import FloatArray, UNet, from_tensors

_TO_TORCH = {"encoder": (0, 3, 1, 2), "decoder": (3, 0, 1, 2), "head": (0, 3, 1, 2)}
_TO_TFLITE = {"encoder": (0, 2, 3, 1), "decoder": (1, 2, 3, 0), "head": (0, 2, 3, 1)}


def weights_of(unet: UNet) -> dict[str, Tensor]:
    """Copy the weights of a network."""
    return {
        name: torch.from_numpy(_moved(array, name, _TO_TORCH))
        for name, array in unet.tensors().items()
    }


def unet_of(stem: str, activations: Activations, weights: Weights) -> UNet:
    """Return the network with these weights."""
    arrays = {
        name: _moved(weight.detach().numpy(), name, _TO_TFLITE) for name, weight in weights.items()
    }
    return from_tensors(stem, activations, arrays)


def _moved(array: FloatArray, name: str, axes: Mapping[str, tuple[int, ...]]) -> FloatArray:
    if array.ndim == 4:
        array = array.transpose(axes[name.split("/")[0]])
    return np.array(array, np.float32, order="C")


def estimate(
    weights: Weights,
    activations: Activations,
    magnitudes: Tensor,
    graph: GraphSpec | None = None,
) -> Tensor:
    """Estimate a stem's magnitudes.

    Parameters
    ----------
    weights : Weights
    activations : Activations
    magnitudes : float32 [shape=(batch, channels, spectra, model_bins)]
        Of the mixture; spectra a multiple of 64.
    graph : GraphSpec, optional
        Compute in 8 bits where the graph of this spec does, whose T spectra these are; only the
        rows that it emits are then as it has them, see `rounding`. Exact if it is not given.

    Returns
    -------
    float32, of the same shape
    """
    read = partial(rounding.read, spec=graph) if graph else _as_it_is
    x = magnitudes
    skips = []
    for level in range(1, DEPTH + 1):
        name = f"encoder/{level}"
        # Of TensorFlow's three rows and bins of padding, one comes before.
        padded = functional.pad(x, (1, 2, 1, 2))
        parts = []
        whole = [(0, 0, x.shape[2] // 2)]
        for first, start, stop in rounding.pieces(level, graph) if graph else whole:
            part, kernel = read(padded[..., 2 * first : 2 * stop + 3, :], weights, name)
            y = functional.conv2d(part, kernel, weights[f"{name}/bias"], stride=2)
            parts.append(y[..., start - first :, :])
        y = torch.cat(parts, 2)
        skips.append(y)
        if level < DEPTH:
            x = _activated(_normed(y, weights, name), activations.encoder)
    x = skips.pop()
    for level in range(1, DEPTH + 1):
        name = f"decoder/{level}"
        x, kernel = read(x, weights, name)
        y = functional.conv_transpose2d(x, kernel, weights[f"{name}/bias"], stride=2, padding=1)
        y = y[..., :-1, :-1]
        y = _normed(_activated(y, activations.decoder), weights, name)
        x = torch.cat([skips.pop(), y], 1) if skips else y
    x, kernel = read(x, weights, "head")
    padded = functional.pad(x, (3, 3, 3, 3))
    logits = functional.conv2d(padded, kernel, weights["head/bias"], dilation=2)
    return torch.sigmoid(logits) * magnitudes


def _as_it_is(x: Tensor, weights: Weights, name: str) -> tuple[Tensor, Tensor]:
    return x, weights[f"{name}/kernel"]


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
    complex64 [shape=(..., spectra, model_bins)]
    """
    window = torch.from_numpy(hann(SPLEETER.n_fft))
    windowed = waveforms.unfold(-1, SPLEETER.n_fft, SPLEETER.hop_length) * window
    spectra = torch.fft.rfft(windowed)
    return spectra[..., : SPLEETER.model_bins].contiguous()
