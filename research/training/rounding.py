"""8-bit arithmetic where the graphs of `spleeter.streaming` have it, for what learns.

The interpreter rounds what a convolution reads to one scale for the whole tensor, and the kernel to
one for each of its outputs. Which numbers share a scale, and how loud each channel is among them,
is as `streaming` writes it: norms are in the kernels around them, channels as loud as their reader
weighs them, and a transposed convolution is four, one for each parity of row and bin. (The parities
of even rows sometimes have a scale from one row less there; here all four share theirs.) Rows of
the encoder that settle together have a scale of their own. Taps that read nothing but padding do
not count. Gradients pass as if nothing was rounded.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.spleeter.architecture import DEPTH, STRIDE
from stemd.tflite_models.spleeter.encoder import MOST_SHIFT
from stemd.tflite_models.spleeter.quantization import form_of
from stemd.tflite_models.spleeter.settled import settled_levels

Weights = Mapping[str, Tensor]
"""By the names of `UNet.tensors`; kernels in PyTorch's order of axes."""

TINY = 1e-12
OF_TWO_ROWS = ("encoder/6", "decoder/1")
"""In the shortest window, these have two of five taps that do not always read padding."""

PARITIES = ((0, 0), (0, 1), (1, 0), (1, 1))


def read(x: Tensor, weights: Weights, name: str, spec: GraphSpec) -> tuple[Tensor, Tensor]:
    """Round what a layer reads, and its kernel, if the graph computes it in 8 bits.

    Parameters
    ----------
    x : float32 [shape=(batch, channels, spectra, bins)]
        The rows that the graph has.
    weights : Weights
    name : str
        Of the layer, as encoder/1, decoder/6 or head.
    spec : GraphSpec
        Of the graph whose arithmetic it is.

    Returns
    -------
    x, kernel : float32
    """
    kernel = weights[f"{name}/kernel"]
    if form_of(spec.precision, name, kernel.detach().numpy()) != "int8":
        return x, kernel
    with torch.no_grad():
        loudness = _as_written(weights, name)[:, None, None]
        by_input = loudness[:, None] if _is_transposed(name) else loudness
        rounded = _rounded(x * loudness).div_(loudness)
        used = kernel.clone()
        if spec.T == STRIDE and name in OF_TWO_ROWS:
            used[..., (0, 3, 4), :] = 0
        rounded_kernel = _rounded_kernel(used / by_input, name).mul_(by_input)
    return x + rounded.sub_(x.detach()), kernel + rounded_kernel.sub_(kernel.detach())


def pieces(name: str, weights: Weights, spec: GraphSpec) -> list[tuple[int, int, int]]:
    """Return which rows of a layer of the encoder are rounded together.

    Returns
    -------
    list of (first, start, stop)
        From ``start`` on they are the level's rows; before that, rows that are of another piece, or
        have left the window, but have the same scale. Empty if all are, or nothing is rounded.
    """
    level, settled = int(name[-1]), settled_levels(spec)
    kernel = weights[f"{name}/kernel"].detach().numpy()
    if level > len(settled) or form_of(spec.precision, name, kernel) != "int8":
        return []
    kept, rows = settled[level - 1], spec.T >> level
    starts = range(kept.new, kept.new - kept.stop, kept.new - kept.stop)
    together = [(max(n, 0), max(n, 1), n + kept.stop - kept.new) for n in reversed(starts)]
    return [(0, 0, 1), *(each for each in together if each[2] > 1), (kept.stop, kept.stop, rows)]


def _rounded(x: Tensor) -> Tensor:
    """Round in place to 255 steps from the smallest to the largest, one of which is 0."""
    low = x.amin((1, 2, 3), keepdim=True).clamp_max(0)
    high = x.amax((1, 2, 3), keepdim=True).clamp_min(0)
    step = ((high - low) / 255).clamp_min(TINY)
    zero = torch.round(-low / step)
    return x.div_(step).round_().clamp_(-zero, 255 - zero).mul_(step)


def _rounded_kernel(kernel: Tensor, name: str) -> Tensor:
    """Round in place to 127 steps up and down, for each output."""
    if not _is_transposed(name):
        largest = _largest(kernel, (1, 2, 3))
    else:
        largest = torch.empty_like(kernel[:1])
        for row, column in PARITIES:
            of_parity = kernel[..., row::2, column::2]
            largest[..., row::2, column::2] = _largest(of_parity, (0, 2, 3))
    step = (largest / 127).clamp_min(TINY)
    return kernel.div_(step).round_().mul_(step)


def _largest(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return torch.maximum(x.amax(axes, keepdim=True), -x.amin(axes, keepdim=True))


def _is_transposed(name: str) -> bool:
    return name.startswith("decoder")


def _as_written(weights: Weights, name: str) -> Tensor:
    """Return by what `streaming` multiplies the channels that a layer reads.

    Returns
    -------
    float32 [shape=(channels,)]
    """
    kind, _, number = name.partition("/")
    kernel = weights[f"{name}/kernel"]
    by_input = kernel if _is_transposed(name) else kernel.transpose(0, 1)
    if kind == "encoder" or number == "1":
        return torch.ones(len(by_input))
    before = DEPTH if kind == "head" else int(number) - 1
    scale = weights[f"decoder/{before}/scale"]
    weight = by_input[-len(scale) :].flatten(1).norm(dim=1)
    weight[weight == 0] = 1
    ups = weight / weight.log().mean().exp() * torch.where(scale < 0, -1, 1)
    return ups if kind == "head" else torch.cat([_skips(weights, DEPTH - before), ups])


def _skips(weights: Weights, level: int) -> Tensor:
    scale, shift = (weights[f"encoder/{level}/{part}"] for part in ("scale", "shift"))
    size = scale.abs()
    can_be_taken_back = (size > 0).all() and (shift.abs() <= MOST_SHIFT * size).all()
    return scale if can_be_taken_back else torch.ones_like(scale)
