"""The U-Net as PyTorch computes it, from and to the weights of `stemd.tflite_models`.

Batch norms are at rest, one scale and one shift for each channel as in the files: with a few
spectra in a batch, statistics of one's own would be worth nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

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
from stemd.tflite_models.spleeter.architecture import (
    DEPTH,
    LEAKY_SLOPE,
    Activation,
    Activations,
    rows_needed,
)
from stemd.tflite_models.spleeter.unet import FloatArray, UNet, from_tensors

Read: TypeAlias = Callable[[Tensor, Weights, str], tuple[Tensor, Tensor]]
"""Takes a layer's input, the weights and the layer's name; returns its input and kernel."""

PADDING = (1, 2, 1, 2)
"""Of TensorFlow's three rows and bins, one comes before."""

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
    read: Read | None = None,
) -> Tensor:
    """Estimate a stem's magnitudes.

    Parameters
    ----------
    weights : Weights
    activations : Activations
    magnitudes : float32 [shape=(batch, channels, spectra, model_bins)]
        Of the mixture; spectra a multiple of 64.
    graph : GraphSpec, optional
        Compute in 8 bits where the graph of this spec does, whose T spectra these are: see
        `rounding`. Rows that it does not emit are 0 then. Exact if it is not given.
    read : Read, optional
        What a layer makes of its input and kernel first, in place of this rounding.

    Returns
    -------
    float32, of the same shape
    """
    read = read or (partial(rounding.read, spec=graph) if graph else _as_it_is)
    spec = graph or GraphSpec(T=magnitudes.shape[2], B=magnitudes.shape[2])
    needed = rows_needed(spec)
    x, skips = magnitudes, []
    for level in range(1, DEPTH + 1):
        name = f"encoder/{level}"
        pieces = rounding.pieces(name, weights, graph) if graph else []
        y = _in_pieces(x, weights, name, pieces, read)
        skips.append(y[:, :, slice(*needed[level])])
        x = finish(y, weights, activations, name) if level < DEPTH else y
    x = skips.pop()
    for level in range(1, DEPTH + 1):
        name = f"decoder/{level}"
        y = convolve(*read(x, weights, name), weights, name)
        begin = 2 * needed[DEPTH + 1 - level][0]
        start, stop = needed[DEPTH - level]
        y = finish(y[:, :, start - begin : stop - begin], weights, activations, name)
        x = torch.cat([skips.pop(), y], 1) if skips else y
    logits = convolve(*read(x, weights, "head"), weights, "head")
    emitted = slice(spec.first, spec.first + spec.B)
    begin = needed[0][0]
    masks = torch.sigmoid(logits[:, :, emitted.start - begin : emitted.stop - begin])
    return functional.pad(
        masks * magnitudes[:, :, emitted], (0, 0, emitted.start, spec.T - emitted.stop)
    )


def _in_pieces(
    x: Tensor, weights: Weights, name: str, pieces: Sequence[tuple[int, int, int]], read: Read
) -> Tensor:
    """Return what a layer of the encoder makes of its input, as `rounding.pieces` divides it."""
    if not pieces:
        return convolve(*read(x, weights, name), weights, name)
    padded = functional.pad(x, PADDING)
    parts = []
    for first, start, stop in pieces:
        part, kernel = read(padded[..., 2 * first : 2 * stop + 3, :], weights, name)
        y = functional.conv2d(part, kernel, weights[f"{name}/bias"], stride=2)
        parts.append(y[..., start - first :, :])
    return torch.cat(parts, 2)


def convolve(x: Tensor, kernel: Tensor, weights: Weights, name: str) -> Tensor:
    """Return what a layer's convolution makes of its input, its bias added."""
    bias = weights[f"{name}/bias"]
    match name.split("/")[0]:
        case "encoder":
            return functional.conv2d(functional.pad(x, PADDING), kernel, bias, stride=2)
        case "decoder":
            y = functional.conv_transpose2d(x, kernel, bias, stride=2, padding=1)
            return y[..., :-1, :-1]
        case _:
            return functional.conv2d(functional.pad(x, (3, 3, 3, 3)), kernel, bias, dilation=2)


def finish(y: Tensor, weights: Weights, activations: Activations, name: str) -> Tensor:
    """Return a layer's output: norm and activation, or the other way round in the decoder."""
    if name.startswith("encoder"):
        return _activated(_normed(y, weights, name), activations.encoder)
    return _normed(_activated(y, activations.decoder), weights, name)


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
