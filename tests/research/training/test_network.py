"""PyTorch computes what the program computes."""

import numpy as np
import pytest
import torch

import tiny_model as tiny
from research.training.network import (
    analyse,
    estimate,
    ratio_masks,
    unet_of,
    weights_of,
)
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.masks import RatioMask
from stemd.dsp.scheme import CHANNELS, SPLEETER
from stemd.dsp.stft import Analysis
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.network import Network
from stemd.tflite_models.spleeter.architecture import Architecture
from stemd.tflite_models.spleeter.checkpoint import Checkpoint
from stemd.tflite_models.spleeter.plain import write_graph
from stemd.tflite_models.spleeter.variables import read_unet

HOP_LENGTH, MODEL_BINS, N_BINS, N_FFT = (
    SPLEETER.hop_length,
    SPLEETER.model_bins,
    SPLEETER.n_bins,
    SPLEETER.n_fft,
)


@pytest.fixture(params=[tiny.OFFICIAL_2, tiny.OFFICIAL_4], ids=["leaky", "elu"])
def unet(request, tmp_path):
    checkpoint = Checkpoint(tiny.write_checkpoint(tmp_path, tiny.variables()))
    architecture = Architecture(tiny.STEMS, request.param, tiny.FILTERS)
    return read_unet(checkpoint, architecture, "accompaniment")


def test_estimates_are_those_of_the_graph(unet, tmp_path):
    x = np.random.default_rng(2).random((128, MODEL_BINS, CHANNELS), np.float32)
    file = tmp_path / "network.tflite"
    file.write_bytes(write_graph(unet, GraphSpec(), {}))
    expected = np.empty_like(x)
    Network(file)(x, expected)
    with torch.no_grad():
        magnitudes = torch.from_numpy(x).permute(2, 0, 1)[None]
        y = estimate(weights_of(unet), unet.activations, magnitudes)
    # Sums of some hundred products in another order.
    np.testing.assert_allclose(y[0].permute(1, 2, 0).numpy(), expected, atol=5e-5)


@pytest.mark.parametrize(
    "spec", [GraphSpec(T=128, B=2, A=1, mirror=8), GraphSpec(T=64, B=40, A=24)], ids=str
)
def test_only_the_rows_that_count_are_computed(unet, spec):
    x = torch.rand(2, CHANNELS, spec.T, MODEL_BINS)
    weights, emitted = weights_of(unet), slice(spec.first, spec.first + spec.B)
    with torch.no_grad():
        whole, part = (estimate(weights, unet.activations, x, each) for each in (None, spec))
    np.testing.assert_allclose(part[:, :, emitted], whole[:, :, emitted], atol=1e-5)
    assert part.shape == whole.shape
    assert not part[:, :, : emitted.start].any()


def test_weights_go_there_and_back(unet):
    again = unet_of(unet.stem, unet.activations, weights_of(unet))
    assert (again.stem, again.activations) == (unet.stem, unet.activations)
    for name, array in unet.tensors().items():
        np.testing.assert_array_equal(again.tensors()[name], array, strict=True)


def test_masks_are_those_of_the_program():
    estimates = np.random.default_rng(3).random((4, 5, MODEL_BINS, CHANNELS), np.float32)
    estimates[:, 0, :10] = 0  # silence is shared alike
    expected = RatioMask(SPLEETER, 4, MaskExtension.MEAN).update(estimates)[..., :MODEL_BINS]
    masks = ratio_masks(torch.from_numpy(estimates)[None])[0].permute(1, 0, 3, 2)
    np.testing.assert_allclose(masks.numpy(), expected, rtol=1e-5)


def test_spectra_are_those_of_the_program():
    x = np.random.default_rng(4).standard_normal((CHANNELS, N_FFT + HOP_LENGTH)).astype(np.float32)
    analysis, expected = Analysis(SPLEETER, CHANNELS), np.empty((5, CHANNELS, N_BINS), np.complex64)
    analysis.process(x, out=expected)
    spectra = analyse(torch.from_numpy(x))
    assert spectra.shape == (CHANNELS, 2, MODEL_BINS)
    np.testing.assert_allclose(
        spectra.numpy(), expected[3:, :, :MODEL_BINS].swapaxes(0, 1), atol=1e-3
    )
