"""Compiled graphs: the plain graph's numbers, for every window, in less operations."""

from dataclasses import replace
from hashlib import sha256
from itertools import cycle, product
from typing import get_args

import numpy as np
import pytest

import tiny_model as tiny
from stemd.tflite_models.graphs.flatbuffer import schema
from stemd.tflite_models.graphs.spec import GraphSpec, StreamingPrecision
from stemd.tflite_models.network import Network
from stemd.tflite_models.spleeter import layers
from stemd.tflite_models.spleeter.architecture import DEPTH, Activations, Architecture, rows_needed
from stemd.tflite_models.spleeter.checkpoint import Checkpoint
from stemd.tflite_models.spleeter.encoder import MOST_SHIFT
from stemd.tflite_models.spleeter.family import COMPILED_VERSION
from stemd.tflite_models.spleeter.layers import subpixel_kernel
from stemd.tflite_models.spleeter.plain import write_graph
from stemd.tflite_models.spleeter.streaming import compile_graph
from stemd.tflite_models.spleeter.unet import UNet
from stemd.tflite_models.spleeter.variables import read_unet

ACTIVATIONS = [tiny.OFFICIAL_2, tiny.OFFICIAL_4, Activations("relu", "leaky_relu")]
SPECS = [
    GraphSpec(T=t, B=b, A=a, mirror=mirror)
    for t in (64, 128, 192)
    for b, a, mirror in (
        *((1, 0, 0), (8, 8, 0), (8, 0, 16), (5, 3, 7), (1, 63, 0), (40, 24, 0), (64, 0, 0)),
        *((t, 0, 0), (t - 1, 1, 0), (t - 1, 0, 0), (1, t - 1, 0), (33, 2, 28)),
    )
    if b + a + mirror <= t
]
SHORT = [spec for spec in SPECS if spec.T == 64]
PAIRS = [*zip(cycle(ACTIVATIONS), SPECS, strict=False)]
"""Each spec with one kind of network, and each kind with specs of every window."""


@pytest.fixture(scope="session")
def unets(checkpoint_dir) -> dict[Activations, UNet]:
    """Networks of every kind, with masks that are neither all nor nothing.

    With the steep ones of random weights, either graph's rounding shows four digits earlier.
    """
    checkpoint = Checkpoint(checkpoint_dir)
    networks = {}
    for kind in ACTIVATIONS:
        unet = read_unet(checkpoint, Architecture(tiny.STEMS, kind, tiny.FILTERS), "vocals")
        head = replace(unet.head, kernel=unet.head.kernel * np.float32(0.02))
        networks[kind] = replace(unet, head=head)
    return networks


def run(data: bytes, magnitudes: np.ndarray, path) -> np.ndarray:
    path.write_bytes(data)
    network = Network(path)
    out = np.full((network.B, 1024, 2), np.nan, np.float32)
    network(magnitudes, out)
    return out


@pytest.fixture
def split(monkeypatch) -> None:
    """The small model's decoder in the form that wide layers get."""
    monkeypatch.setattr(layers, "SPLIT_FROM", 2)


@pytest.mark.parametrize(("activations", "spec"), PAIRS, ids=str)
def test_split_convolutions_have_the_same_numbers(activations, spec, unets, split, tmp_path):
    magnitudes = np.random.default_rng(0).random((spec.T, 1024, 2), np.float32)
    found = run(compile_graph(unets[activations], spec, {}), magnitudes, tmp_path / "split.tflite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "SPLIT_FROM", 1000)
        data = compile_graph(unets[activations], spec, {})
    whole = run(data, magnitudes, tmp_path / "whole.tflite")
    # The same sums but for terms that are zero.
    assert np.abs(found - whole).max() <= 1e-6 * np.abs(whole).max()


def test_split_convolutions_have_no_empty_taps(unets, split):
    unet = unets[tiny.OFFICIAL_2]
    taps = kernel_taps(compile_graph(unet, GraphSpec(T=64, B=8, A=8), {}))
    assert [taps[f"decoder/2/{parity}/kernel"] for parity in ("00", "01", "10", "11")] == [
        (2, 2), (2, 3), (3, 2), (3, 3)
    ]  # fmt: skip
    assert [taps[f"decoder/1/{parity}/kernel"] for parity in ("00", "01", "10", "11")] == [
        (1, 2), (1, 3), (1, 2), (1, 3)
    ]  # fmt: skip


def test_narrow_convolutions_are_not_split(unets):
    taps = kernel_taps(compile_graph(unets[tiny.OFFICIAL_2], GraphSpec(T=64, B=8, A=8), {}))
    assert taps["decoder/2/kernel"] == (3, 3)
    assert taps["decoder/1/kernel"] == (1, 3)


@pytest.mark.parametrize(("T", "rows"), [(64, 2), (128, 5)])
def test_taps_that_read_nothing_but_padding_are_left_out(T, rows, unets):
    """Of the last encoder's convolution where there are two rows below it, and all above it."""
    taps = kernel_taps(compile_graph(unets[tiny.OFFICIAL_2], GraphSpec(T=T, B=8, A=8), {}))
    assert taps["encoder/6/kernel"] == (rows, 5)


def kernel_taps(data: bytes) -> dict[str, tuple[int, int]]:
    graph = schema().Model.GetRootAs(data).Subgraphs(0)
    tensors = [graph.Tensors(n) for n in range(graph.TensorsLength())]
    named = {tensor.Name().decode(): tensor for tensor in tensors}
    return {
        name: (tensor.Shape(1), tensor.Shape(2))
        for name, tensor in named.items()
        if name.endswith("/kernel")
    }


@pytest.mark.parametrize(
    ("activations", "spec"), [*dict.fromkeys([*PAIRS, *product(ACTIVATIONS, SHORT)])], ids=str
)
def test_compiled_graph_has_the_plain_graphs_numbers(activations, spec, unets, tmp_path):
    rng = np.random.default_rng(spec.T)
    magnitudes = (10 * rng.random((spec.T, 1024, 2)) ** 3).astype(np.float32)
    unet = unets[activations]
    plain = run(write_graph(unet, spec, {}), magnitudes, tmp_path / "plain.tflite")
    compiled = run(compile_graph(unet, spec, {}), magnitudes, tmp_path / "compiled.tflite")
    assert compiled.shape == plain.shape == (spec.B, 1024, 2)
    mask = plain / np.maximum(magnitudes[spec.first : spec.first + spec.B], 1e-9)
    assert mask.std() > 0.05, "a flat mask shows nothing"
    assert np.abs(compiled - plain).max() <= 1e-5 * np.abs(plain).max()


@pytest.mark.parametrize("spec", SPECS[:5], ids=str)
def test_compiled_logits_are_the_plain_graphs(spec, unets, tmp_path):
    magnitudes = (10 * np.random.default_rng(7).random((spec.T, 1024, 2)) ** 3).astype(np.float32)
    unet = replace(unets[tiny.OFFICIAL_4], masks="softmax")
    plain = run(write_graph(unet, spec, {}), magnitudes, tmp_path / "plain.tflite")
    compiled = run(compile_graph(unet, spec, {}), magnitudes, tmp_path / "compiled.tflite")
    assert plain.std() > 0.05, "flat logits show nothing"
    assert np.abs(compiled - plain).max() <= 1e-5 * np.abs(plain).max()


@pytest.mark.parametrize("activations", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("side", ["encoder", "decoder"])
@pytest.mark.parametrize("level", range(5))
def test_norms_that_cannot_be_taken_back_are_computed(activations, side, level, unets, tmp_path):
    """A channel that its norm scales by nothing, though the skip still has it."""
    unet, spec = unets[activations], GraphSpec(T=64, B=8, A=8)
    convolutions = list(getattr(unet, side))
    norm = convolutions[level].norm
    scale = norm.scale * (np.arange(len(norm.scale)) > 0)
    convolutions[level] = replace(convolutions[level], norm=replace(norm, scale=scale))
    unet = replace(unet, **{side: tuple(convolutions)})
    magnitudes = np.random.default_rng(0).random((64, 1024, 2), np.float32)
    plain = run(write_graph(unet, spec, {}), magnitudes, tmp_path / "plain.tflite")
    compiled = run(compile_graph(unet, spec, {}), magnitudes, tmp_path / "compiled.tflite")
    assert np.abs(compiled - plain).max() <= 1e-5 * np.abs(plain).max()


def test_no_transposed_convolution_is_left(unets):
    data = compile_graph(unets[tiny.OFFICIAL_2], GraphSpec(T=64, B=8, A=8), {})
    model = schema().Model.GetRootAs(data)
    codes = {model.OperatorCodes(n).BuiltinCode() for n in range(model.OperatorCodesLength())}
    assert schema().BuiltinOperator.TRANSPOSE_CONV not in codes


@pytest.mark.parametrize(
    ("scale", "shift"),
    [(s, r * MOST_SHIFT * s) for s in (1e-6, 0.1, 1) for r in (0.99, 1.01)],
)
@pytest.mark.parametrize("level", range(5))
def test_norms_are_exact_on_either_side_of_the_bound(level, scale, shift, unets, tmp_path):
    unet, spec = unets[tiny.OFFICIAL_2], GraphSpec(T=64, B=8, A=8)
    encoder = list(unet.encoder)
    norm = encoder[level].norm
    norm = replace(
        norm,
        scale=np.full_like(norm.scale, scale),
        shift=np.full_like(norm.shift, shift) * (-1) ** np.arange(len(norm.shift)),
    )
    encoder[level] = replace(encoder[level], norm=norm)
    unet = replace(unet, encoder=tuple(encoder))
    magnitudes = np.random.default_rng(0).random((64, 1024, 2), np.float32)
    plain = run(write_graph(unet, spec, {}), magnitudes, tmp_path / "plain.tflite")
    compiled = run(compile_graph(unet, spec, {}), magnitudes, tmp_path / "compiled.tflite")
    assert np.abs(compiled - plain).max() <= 1e-5 * np.abs(plain).max()


def test_other_operations_have_another_version(unets):
    """What COMPILED_VERSION says: no graph is cached under the version of another one."""
    digest = sha256()
    for activations in (tiny.OFFICIAL_2, tiny.OFFICIAL_4):
        for precision in get_args(StreamingPrecision):
            for b, a, mirror in ((8, 8, 0), (1, 1, 8), (64, 0, 0)):
                spec = GraphSpec(64, b, a, mirror, precision)
                digest.update(structure(compile_graph(unets[activations], spec, {})).encode())
    assert (COMPILED_VERSION, digest.hexdigest()[:16]) == (7, "fc7e6fa9dada326a")


def structure(data: bytes) -> str:
    """Tell everything of a graph but its numbers."""
    model = schema().Model.GetRootAs(data)
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(n) for n in range(graph.TensorsLength())]
    operators = [graph.Operators(n) for n in range(graph.OperatorsLength())]
    return repr(
        [
            [(t.Name(), t.Type(), t.ShapeAsNumpy().tolist()) for t in tensors],
            [
                (
                    model.OperatorCodes(o.OpcodeIndex()).BuiltinCode(),
                    o.InputsAsNumpy().tolist(),
                    o.OutputsAsNumpy().tolist(),
                )
                for o in operators
            ],
        ]
    )


def test_a_relu_network_has_one_addition_for_each_norm_and_no_multiplication(unets):
    model = schema().Model.GetRootAs(compile_graph(unets[tiny.OFFICIAL_2], SPECS[0], {}))
    graph, names = model.Subgraphs(0), {}
    for n in range(graph.OperatorsLength()):
        code = model.OperatorCodes(graph.Operators(n).OpcodeIndex()).BuiltinCode()
        names[code] = names.get(code, 0) + 1
    operators = schema().BuiltinOperator
    assert names[operators.ADD] == DEPTH, "one for each level of the decoder"
    assert names[operators.MUL] == 1, "the mask"


def test_fewer_rows_are_computed_where_fewer_are_emitted():
    whole = rows_needed(GraphSpec(T=128, B=128))
    assert whole == [(0, 128 >> level) for level in range(7)]
    some = rows_needed(GraphSpec(T=128, B=8, A=8))
    assert some == [(109, 123), (53, 62), (25, 32), (11, 16), (4, 8), (1, 4), (0, 2)]


def test_the_same_arguments_give_the_same_bytes(unets):
    spec = GraphSpec(T=64, B=8, A=8)
    unet = unets[tiny.OFFICIAL_2]
    assert compile_graph(unet, spec, {"a": 1}) == compile_graph(unet, spec, {"a": 1})


def test_subpixel_kernel_uses_every_tap_once():
    kernel = np.arange(2 * 25 * 3, dtype=np.float32).reshape(2, 5, 5, 3) + 1
    phases = subpixel_kernel(kernel)
    assert phases.shape == (8, 3, 3, 3)
    assert sorted(phases[phases != 0]) == sorted(kernel.ravel())
