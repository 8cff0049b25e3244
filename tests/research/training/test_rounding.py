"""8 bits in PyTorch are those of the graphs that the program runs."""

import numpy as np
import pytest
import torch

import tiny_model as tiny
from research.training.learner import WINDOWS
from research.training.network import estimate, weights_of
from research.training.rounding import read
from stemd.dsp.scheme import CHANNELS, SPLEETER
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.network import Network
from stemd.tflite_models.spleeter.architecture import KEPT_FLOAT, Architecture
from stemd.tflite_models.spleeter.checkpoint import Checkpoint
from stemd.tflite_models.spleeter.streaming import compile_graph
from stemd.tflite_models.spleeter.variables import read_unet

MODEL_BINS = SPLEETER.model_bins

WHOLE = GraphSpec(T=64, B=64, A=0, precision="int8")
STREAMING = GraphSpec(T=64, B=4, A=8, precision="int8")
MIXED = GraphSpec(T=64, B=4, A=8, precision="mixed")
LEARNT = [window.graph for window, _ in WINDOWS if window.precision != "fp32"]


@pytest.fixture(params=[tiny.OFFICIAL_2, tiny.OFFICIAL_4], ids=["leaky", "elu"])
def unet(request, tmp_path):
    checkpoint = Checkpoint(tiny.write_checkpoint(tmp_path, tiny.variables()))
    architecture = Architecture(tiny.STEMS, request.param, tiny.FILTERS)
    return read_unet(checkpoint, architecture, "vocals")


def error(x, y):
    return np.sqrt(np.square(x - y).mean())


@pytest.mark.parametrize("spec", [WHOLE, STREAMING, MIXED, *LEARNT], ids=str)
def test_estimates_are_far_nearer_to_the_graphs_than_exact_ones(unet, tmp_path, spec):
    rng = np.random.default_rng(2)
    x = (10 * rng.random((64, MODEL_BINS, CHANNELS)) ** 3).astype(np.float32)
    x[:8] *= 20  # loud where no emitted row looks
    file = tmp_path / "network.tflite"
    file.write_bytes(compile_graph(unet, spec, {}))
    graphs = np.empty((spec.B, MODEL_BINS, CHANNELS), np.float32)
    Network(file)(x, graphs)
    weights, magnitudes = weights_of(unet), torch.from_numpy(x).permute(2, 0, 1)[None]
    with torch.no_grad():
        exact, rounded = (
            estimate(weights, unet.activations, magnitudes, each)[0].permute(1, 2, 0).numpy()
            for each in (None, spec)
        )
    emitted = slice(spec.first, spec.first + spec.B)
    # Where many rows settle together, some have left the window, and their share in the scale.
    most = 0.3 if spec.B < 16 or spec.B == spec.T else 0.75
    assert error(rounded[emitted], graphs) < most * error(exact[emitted], graphs)


def test_layers_that_the_graph_keeps_in_float_are_left_alone(unet):
    weights = weights_of(unet)
    for name in KEPT_FLOAT:
        kernel = weights[f"{name}/kernel"]
        x = torch.rand(1, kernel.shape[0 if name.startswith("decoder") else 1], 64, 64)
        assert all(a is b for a, b in zip(read(x, weights, name, MIXED), (x, kernel), strict=True))


@pytest.mark.parametrize("name", ["encoder/2", "decoder/1", "decoder/3", "head"])
def test_gradients_pass_as_if_nothing_was_rounded(unet, name):
    weights = {key: weight.requires_grad_() for key, weight in weights_of(unet).items()}
    kernel = weights[f"{name}/kernel"]
    channels = kernel.shape[0 if name.startswith("decoder") else 1]
    x = torch.rand(1, channels, 64, 64, requires_grad=True)
    rounded = read(x, weights, name, WHOLE)
    assert not any(torch.equal(*pair) for pair in zip(rounded, (x, kernel), strict=True))
    sum(each.sum() for each in rounded).backward()
    for each in (x, kernel):
        torch.testing.assert_close(each.grad, torch.ones_like(each))
