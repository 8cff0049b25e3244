"""The graphs: right numbers, whatever the window, and files that others can use."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

import reference_unet
import tiny_model as tiny
from stemd.tflite_models.graphs.flatbuffer import schema
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.network import Network
from stemd.tflite_models.runtime import new_interpreter
from stemd.tflite_models.spleeter import quantization
from stemd.tflite_models.spleeter.architecture import Activations, Architecture
from stemd.tflite_models.spleeter.checkpoint import Checkpoint
from stemd.tflite_models.spleeter.plain import write_graph
from stemd.tflite_models.spleeter.reader import read_weights
from stemd.tflite_models.spleeter.streaming import compile_graph
from stemd.tflite_models.spleeter.unet import UNet
from stemd.tflite_models.spleeter.variables import read_unet
from stemd.tflite_models.store.manifest import FileRecord
from stemd.tflite_models.store.set_folder import is_as_written

ABOUT = {"licence": "MIT", "citation": "someone"}


@pytest.fixture(scope="session")
def unet(checkpoint_dir) -> UNet:
    return read_unet(Checkpoint(checkpoint_dir), tiny.ARCHITECTURE, "vocals")


@pytest.fixture
def run(tmp_path, magnitudes):
    """Write a graph, run it on magnitudes, give its output."""

    def run(unet: UNet, spec: GraphSpec, x: np.ndarray = magnitudes) -> np.ndarray:
        path = tmp_path / f"{spec}.tflite"
        path.write_bytes(write_graph(unet, spec, ABOUT))
        network = Network(path)
        out = np.full((network.B, 1024, 2), np.nan, np.float32)
        network(x, out)
        return out

    return run


@pytest.mark.parametrize("stem", [0, 1])
@pytest.mark.parametrize(
    "activations", [tiny.OFFICIAL_2, tiny.OFFICIAL_4, Activations("relu", "leaky_relu")]
)
def test_a_network_equals_the_reference(checkpoint_dir, magnitudes, run, stem, activations):
    architecture = Architecture(tiny.STEMS, activations, tiny.FILTERS)
    unet = read_unet(Checkpoint(checkpoint_dir), architecture, tiny.STEMS[stem])
    v = tiny.variables()
    expected = reference_unet.unet(v, stem, magnitudes, activations.encoder, activations.decoder)
    found = run(unet, GraphSpec(T=64, B=64))
    assert found.shape == expected.shape
    # Sums of at most 150 float32 products, twelve layers deep: far below 2**-23 * 150 * 12.
    assert np.abs(found - expected).max() < 1e-4 * expected.max()
    mask = expected / np.maximum(magnitudes, 1e-9)
    assert mask.std() > 0.1, "the reference itself says nothing: its mask is flat"


def test_of_a_softmax_the_graph_writes_logits(unet, magnitudes, run, tmp_path):
    spec = GraphSpec(T=64, B=8, A=8)
    softmax = replace(unet, masks="softmax")
    logits = run(softmax, spec)
    heard = magnitudes[spec.first : spec.first + spec.B]
    mask = 0.5 + 0.5 * np.tanh(0.5 * logits)  # the sigmoid, which cannot overflow
    np.testing.assert_allclose(heard * mask, run(unet, spec), atol=1e-4)
    read, about = read_weights(tmp_path / f"{spec}.tflite")
    assert (read.masks, "masks" in about) == ("sigmoid", False)
    run(softmax, spec)
    assert read_weights(tmp_path / f"{spec}.tflite")[0].masks == "softmax"


@pytest.mark.parametrize(
    "spec",
    [
        GraphSpec(T=64, B=1),
        GraphSpec(T=64, B=8, A=8),
        GraphSpec(T=64, B=4, A=0, mirror=16),
        GraphSpec(T=64, B=5, A=3, mirror=7),
        GraphSpec(T=64, B=40, A=24),
        GraphSpec(T=64, B=1, A=63),
    ],
    ids=str,
)
def test_a_streaming_graph_emits_its_rows_of_the_whole(unet, run, spec):
    whole = run(unet, GraphSpec(T=64, B=64))
    first = 64 - spec.mirror - spec.A - spec.B
    np.testing.assert_array_equal(run(unet, spec), whole[first : first + spec.B])


@pytest.mark.parametrize("t", [64, 128, 192])
def test_any_multiple_of_64_is_a_window(unet, run, t):
    rng = np.random.default_rng(t)
    x = rng.random((t, 1024, 2), np.float32)
    v = tiny.variables()
    expected = reference_unet.unet(v, 0, x, "leaky_relu", "relu")
    assert np.abs(run(unet, GraphSpec(T=t, B=t), x) - expected).max() < 1e-4 * expected.max()


def test_silence_in_silence_out(unet, run):
    assert not run(unet, GraphSpec(T=64, B=64), np.zeros((64, 1024, 2), np.float32)).any()


def test_float32_weights_are_read_back_exactly(unet, tmp_path):
    path = tmp_path / "plain.tflite"
    path.write_bytes(write_graph(unet, GraphSpec(), ABOUT))
    found, about = read_weights(path)
    assert (found.stem, found.activations) == (unet.stem, unet.activations)
    assert found.tensors().keys() == unet.tensors().keys()
    for name, array in unet.tensors().items():
        np.testing.assert_array_equal(found.tensors()[name], array, strict=True, err_msg=name)
    assert about["licence"] == "MIT"


@pytest.fixture
def halved_from(monkeypatch) -> int:
    """A bound between the tiny network's kernels."""
    monkeypatch.setattr(quantization, "HALVED_FROM", 200)
    return 200


def test_float16_rounds_the_larger_kernels_and_nothing_else(unet, tmp_path, halved_from):
    path = tmp_path / "plain.tflite"
    path.write_bytes(write_graph(unet, GraphSpec(precision="fp16"), ABOUT))
    found = read_weights(path)[0].tensors()
    kernels = [array.size for name, array in unet.tensors().items() if name.endswith("kernel")]
    assert min(kernels) < halved_from < max(kernels)
    for name, array in unet.tensors().items():
        is_rounded = name.endswith("kernel") and array.size >= halved_from
        expected = array.astype(np.float16) if is_rounded else array
        np.testing.assert_array_equal(found[name], expected.astype(np.float32), err_msg=name)


def test_a_float16_file_runs_as_its_weights_say(unet, run, tmp_path, halved_from):
    half = GraphSpec(T=64, B=64, precision="fp16")
    out = run(unet, half)
    rounded, _ = read_weights(tmp_path / f"{half}.tflite")
    np.testing.assert_allclose(out, run(rounded, GraphSpec(T=64, B=64)), rtol=1e-6)


def test_the_same_arguments_give_the_same_bytes(unet):
    spec = GraphSpec(T=64, B=8, A=8)
    assert write_graph(unet, spec, ABOUT) == write_graph(unet, spec, ABOUT)


def test_constants_are_aligned_as_the_schema_demands(unet):
    data = write_graph(unet, GraphSpec(), ABOUT)
    model = schema().Model.GetRootAs(data)
    addresses = [
        model.Buffers(n)._tab.Vector(model.Buffers(n)._tab.Offset(4))
        for n in range(1, model.BuffersLength())
    ]
    assert len(addresses) > 40
    assert [address % 16 for address in addresses] == [0] * len(addresses)


def test_a_file_tells_what_it_is(unet, tmp_path):
    path = tmp_path / "vocals.tflite"
    path.write_bytes(write_graph(unet, GraphSpec(T=64, B=8, A=4, mirror=2), ABOUT))
    interpreter = new_interpreter(str(path), 1)
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["magnitudes"], "outputs": ["stem_magnitudes"]}
    }
    model = schema().Model.GetRootAs(path.read_bytes())
    assert model.Description() == b"stemd: vocals, T64-B8-A4-m2-fp32"
    about = json.loads(model.Buffers(model.Metadata(0).Buffer()).DataAsNumpy().tobytes())
    assert about["stem"] == "vocals"
    assert about["graph"] == {"T": 64, "B": 8, "A": 4, "mirror": 2, "precision": "fp32"}


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"T": 0}, "T=0 is not from 1 to 1024"),
        ({"T": 1088}, "T=1088 is not from 1 to 1024"),
        ({"T": 6_400_000_000}, "is not from 1 to 1024"),
        ({"B": 0}, "B=0 is not at least 1"),
        ({"B": 8, "A": -1}, "A=-1 is below 0"),
        ({"B": 8, "mirror": -2}, "mirror=-2 is below 0"),
        ({"B": 100, "A": 20, "mirror": 9}, r"B \+ A \+ mirror = 100 \+ 20 \+ 9 is more than T=128"),
        ({"precision": "int4"}, "precision='int4' is none of"),
    ],
)
def test_a_spec_refuses(numbers, message):
    with pytest.raises(ValueError, match=message):
        GraphSpec(**numbers)


@pytest.mark.parametrize("write", [write_graph, compile_graph])
def test_a_window_that_cannot_be_halved_six_times_is_refused(unet, write):
    with pytest.raises(ValueError, match="T=100 is not a multiple of 64"):
        write(unet, GraphSpec(T=100, B=1), ABOUT)


@pytest.mark.parametrize("precision", ["mixed", "int8"])
def test_a_plain_graph_is_never_quantized(unet, precision):
    with pytest.raises(ValueError, match=f"precision='{precision}': a plain graph is fp32 or fp16"):
        write_graph(unet, GraphSpec(precision=precision), ABOUT)


def test_a_graph_that_is_no_ordinary_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "vocals.tflite")
    with pytest.raises(OSError, match="it is a FIFO, and must be an ordinary file"):
        is_as_written(
            tmp_path, FileRecord(stem="vocals", file="vocals.tflite", bytes=1, sha256="0" * 64)
        )
