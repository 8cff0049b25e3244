"""Begins a lighter network: a full one with the most telling filters of each layer.

How much a filter tells is how far what is heard changes without it: the energy that its output
carries to the masked mixture, on real music, to first order. (After Molchanov et al., "Importance
estimation for neural network pruning", 2019, with the masked mixture in place of a loss, whose
gradient would vanish.) Then, from the first layer to the last, each kernel makes up for the filters
that are missing before it: least squares over what the full network computes there. (After He et
al., "Channel pruning for accelerating very deep neural networks", 2017.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from research.training.network import convolve, estimate, finish, ratio_masks, unet_of, weights_of
from research.training.rounding import Weights
from stemd.tflite_models.spleeter.architecture import DEPTH, Activations
from stemd.tflite_models.spleeter.unet import UNet

SIGNS, NTH = 4, 3
"""Random directions in which the change of what is heard is measured, in every third window."""
SAMPLES = 16_000
"""Places of a layer's output that its kernel is fitted to, at most."""
HELD = 0.003
"""How much a fitted kernel is held to the one before, against the mean energy of what it reads."""
BATCH = 8
TAPS = (((0, 3), (1, 1)), ((0, 4), (1, 2), (2, 0)))
"""Of a transposed convolution's even and odd outputs: places among three inputs, and their taps."""

Filters = Mapping[str, Tensor]
"""Indices of the filters that stay, by layer."""


def narrow(networks: Mapping[str, UNet], magnitudes: Tensor) -> dict[str, UNet]:
    """Return networks with half of the filters.

    Parameters
    ----------
    networks : mapping of str to UNet
        By stem; their masks are shared.
    magnitudes : float32 [shape=(windows, channels, spectra, model_bins)]
        What they hear.
    """
    whole = {stem: weights_of(unet) for stem, unet in networks.items()}
    narrowed = {}
    for stem, unet in networks.items():
        others = [
            (whole[other], networks[other].activations) for other in networks if other != stem
        ]
        told = influence(whole[stem], unet.activations, magnitudes[::NTH], others)
        kept = {
            name: each.topk(len(each) // 2).indices.sort().values for name, each in told.items()
        }
        fitted = fit(whole[stem], unet.activations, kept, magnitudes)
        narrowed[stem] = unet_of(stem, unet.activations, fitted)
    return narrowed


def influence(
    weights: Weights,
    activations: Activations,
    magnitudes: Tensor,
    others: Sequence[tuple[Weights, Activations]],
) -> dict[str, Tensor]:
    """Return by layer how much each filter changes what is heard [shape=(filters,)].

    A filter that gives the same everywhere tells nothing: biases can stand for it.
    """
    sums: dict[str, Tensor] = {}
    dice = torch.Generator().manual_seed(1)
    for part in magnitudes.split(BATCH):
        inputs: dict[str, Tensor] = {}

        def note(x: Tensor, of: Weights, name: str) -> tuple[Tensor, Tensor]:
            inputs[name] = x  # noqa: B023
            return x, of[f"{name}/kernel"]

        own = estimate(weights, activations, part.clone().requires_grad_(), read=note)
        with torch.no_grad():
            rest = [estimate(*other, part) for other in others]
        heard = ratio_masks(torch.stack([own, *rest], 1))[:, 0] * part
        for _ in range(SIGNS):
            signs = torch.randint(0, 2, heard.shape, generator=dice) * 2.0 - 1
            gradients = torch.autograd.grad(
                (heard * signs).sum(), list(inputs.values()), retain_graph=True
            )
            for (name, x), gradient in zip(inputs.items(), gradients, strict=True):
                own_part = x.detach() - x.detach().mean((0, 2, 3), keepdim=True)
                change = (gradient * own_part).sum((2, 3)).square().sum(0)
                sums[name] = sums.get(name, torch.zeros(())) + change
    return _by_filter(sums, weights)


def _by_filter(sums: Mapping[str, Tensor], weights: Weights) -> dict[str, Tensor]:
    """Add up what each filter does by all layers that read it."""
    told = {}
    for level in range(1, DEPTH + 1):
        width = _width(weights, f"encoder/{level}")
        told[f"encoder/{level}"] = sums[f"decoder/{DEPTH + 1 - level}"][:width].clone()
        if level < DEPTH:
            told[f"encoder/{level}"] += sums[f"encoder/{level + 1}"]
            read = sums[f"decoder/{level + 1}"]
            told[f"decoder/{level}"] = read[-_width(weights, f"decoder/{level}") :].clone()
    return told


def fit(
    weights: Weights, activations: Activations, kept: Filters, magnitudes: Tensor
) -> dict[str, Tensor]:
    """Return the weights of the filters that stay; kernels make up for those that do not."""
    fitted = {name: weight.clone() for name, weight in _sliced(weights, kept).items()}
    full, light = _Reading(weights, activations), _Reading(fitted, activations)
    parts = magnitudes.split(BATCH)
    with torch.no_grad():
        full.begin(parts)
        light.begin(parts)
        for name in (f"{side}/{n}" for side in ("encoder", "decoder") for n in range(1, DEPTH + 1)):
            targets = full.convolved(name)
            wanted = [y[:, kept[name]] if name in kept else y for y in targets]
            refit = _refit_up if name.startswith("decoder") else _refit_down
            refit(fitted, name, light.inputs, wanted)
            full.go_on(name, targets)
            light.go_on(name, light.convolved(name))
    return fitted


class _Reading:
    """What a network's layers read, one after the other."""

    def __init__(self, weights: Weights, activations: Activations) -> None:
        self._weights, self._activations = weights, activations
        self.inputs: list[Tensor] = []
        self._skips: list[list[Tensor]] = []

    def begin(self, magnitudes: Sequence[Tensor]) -> None:
        self.inputs = list(magnitudes)

    def convolved(self, name: str) -> list[Tensor]:
        kernel = self._weights[f"{name}/kernel"]
        return [convolve(x, kernel, self._weights, name) for x in self.inputs]

    def go_on(self, name: str, outputs: list[Tensor]) -> None:
        side, _, level = name.partition("/")
        if side == "encoder" and int(level) == DEPTH:
            self.inputs = outputs
            return
        if side == "encoder":
            self._skips.append(outputs)
        self.inputs = [finish(y, self._weights, self._activations, name) for y in outputs]
        if side == "decoder" and self._skips:
            skips = self._skips.pop()
            self.inputs = [torch.cat(pair, 1) for pair in zip(skips, self.inputs, strict=True)]


def _sliced(weights: Weights, kept: Filters) -> dict[str, Tensor]:
    """Return the weights of the filters that stay, as they are."""
    sliced = {}
    for name, weight in weights.items():
        layer, _, part = name.rpartition("/")
        outputs = kept.get(layer, slice(None))
        if part != "kernel":
            sliced[name] = weight[outputs]
            continue
        inputs = _inputs_of(layer, weights, kept)
        is_up = layer.startswith("decoder")
        sliced[name] = weight[inputs][:, outputs] if is_up else weight[outputs][:, inputs]
    return sliced


def _inputs_of(layer: str, weights: Weights, kept: Filters) -> Tensor | slice:
    side, _, number = layer.partition("/")
    if side == "head" or layer == "encoder/1":
        return slice(None)
    level = int(number)
    if side == "encoder":
        return kept[f"encoder/{level - 1}"]
    if level == 1:
        return kept[f"encoder/{DEPTH}"]
    skip = f"encoder/{DEPTH + 1 - level}"
    return torch.cat([kept[skip], _width(weights, skip) + kept[f"decoder/{level - 1}"]])


def _width(weights: Weights, layer: str) -> int:
    return len(weights[f"{layer}/bias"])


def _refit_down(
    weights: dict[str, Tensor], name: str, inputs: Sequence[Tensor], wanted: Sequence[Tensor]
) -> None:
    """Fit the kernel and bias of a convolution with stride 2, in place."""
    kernel = weights[f"{name}/kernel"]
    chosen = _Places(wanted)
    columns = [
        chosen.of(n, functional.unfold(functional.pad(x, (1, 2, 1, 2)), 5, stride=2))
        for n, x in enumerate(inputs)
    ]
    targets = [chosen.of(n, y.flatten(2)) for n, y in enumerate(wanted)]
    fitted, bias = _solved(torch.cat(columns, 1), torch.cat(targets, 1), kernel.flatten(1))
    weights[f"{name}/kernel"], weights[f"{name}/bias"] = fitted.view_as(kernel), bias


def _refit_up(
    weights: dict[str, Tensor], name: str, inputs: Sequence[Tensor], wanted: Sequence[Tensor]
) -> None:
    """Fit those of a transposed convolution, one parity of rows and bins after the other."""
    kernel = weights[f"{name}/kernel"]
    chosen = _Places([y[..., ::2, ::2] for y in wanted])
    columns = [chosen.of(n, functional.unfold(x, 3, padding=1)) for n, x in enumerate(inputs)]
    x = torch.cat(columns, 1).view(len(kernel), 3, 3, -1)
    fitted, biases = kernel.clone(), []
    for row, row_taps in enumerate(TAPS):
        for column, bin_taps in enumerate(TAPS):
            of_parity = [w[..., row::2, column::2].flatten(2) for w in wanted]
            y = torch.cat([chosen.of(n, each) for n, each in enumerate(of_parity)], 1)
            (rows, up), (bins, across) = (zip(*taps, strict=True) for taps in (row_taps, bin_taps))
            read = x[:, list(rows)][:, :, list(bins)].flatten(0, 2)
            old = kernel[:, :, list(up)][..., list(across)].transpose(0, 1)
            new, bias = _solved(read, y, old.flatten(1))
            part = new.view_as(old).transpose(0, 1)
            for n, tap in enumerate(up):
                fitted[:, :, tap, list(across)] = part[:, :, n]
            biases.append(bias)
    weights[f"{name}/kernel"], weights[f"{name}/bias"] = fitted, torch.stack(biases).mean(0)


class _Places:
    """Places drawn at random from outputs, the same ones for all that is asked of a part.

    Parameters
    ----------
    outputs : sequence of float32 [shape=(batch, channels, rows, bins)]
    """

    def __init__(self, outputs: Sequence[Tensor]) -> None:
        dice = torch.Generator().manual_seed(1)
        each = SAMPLES // len(outputs)
        counts = [y.shape[0] * y.shape[2] * y.shape[3] for y in outputs]
        self._chosen = [torch.randperm(count, generator=dice)[:each] for count in counts]

    def of(self, part: int, columns: Tensor) -> Tensor:
        """Return columns [shape=(values, places)] of [shape=(batch, values, rows * bins)]."""
        return columns.transpose(0, 1).flatten(1)[:, self._chosen[part]]


def _solved(x: Tensor, y: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Return the kernel and bias nearest to `y = kernel @ x + bias`, held to the kernel given."""
    means = x.mean(1, keepdim=True)
    x = x - means
    missing = y - kernel @ x
    gram = x @ x.T
    gram.diagonal().add_(HELD * gram.diagonal().mean())
    fitted = kernel + torch.cholesky_solve(x @ missing.T, torch.linalg.cholesky(gram)).T
    return fitted, y.mean(1) - fitted @ means[:, 0]
