"""Quantized graphs: which kernels are rounded, by how much, and what that does to real music."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tiny_model as tiny
from stemd.daemon.cli.recording import SONG
from stemd.dsp.arrays import Magnitudes
from stemd.dsp.scheme import CHANNELS, SPLEETER
from stemd.dsp.stft import Analysis
from stemd.tflite_models.graphs.flatbuffer import schema
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.network import Network
from stemd.tflite_models.spleeter.architecture import KEPT_FLOAT
from stemd.tflite_models.spleeter.checkpoint import Checkpoint
from stemd.tflite_models.spleeter.plain import write_graph
from stemd.tflite_models.spleeter.quantization import quantize
from stemd.tflite_models.spleeter.reader import read_weights
from stemd.tflite_models.spleeter.streaming import compile_graph
from stemd.tflite_models.spleeter.unet import UNet
from stemd.tflite_models.spleeter.variables import read_unet
from stemd.tflite_models.store.library import Library

HOP_LENGTH, MODEL_BINS, N_BINS = SPLEETER.hop_length, SPLEETER.model_bins, SPLEETER.n_bins

LAYERS = {*(f"{side}/{n}" for side in ("encoder", "decoder") for n in range(1, 7)), "head"}


@given(arrays(np.float32, (3, 2, 2, 2), elements=st.floats(-1e6, 1e6, width=32)))
def test_quantization_is_off_by_half_a_scale_at_most(kernel):
    rounded, scales = quantize(kernel)
    assert (rounded.dtype, scales.dtype) == (np.int8, np.float32)
    assert np.abs(rounded.astype(int)).max() <= 127
    error = np.abs(rounded * scales[:, None, None, None].astype(float) - kernel)
    assert (error <= 0.5001 * scales[:, None, None, None]).all()


def test_each_output_has_a_scale_of_its_own():
    kernel = (
        np.ones((2, 5, 5, 3), np.float32) * np.array([1, 1000], np.float32)[:, None, None, None]
    )
    rounded, scales = quantize(kernel)
    assert (rounded == 127).all()
    np.testing.assert_allclose(scales, [1 / 127, 1000 / 127], rtol=1e-6)


@pytest.mark.parametrize(("precision", "kept"), [("int8", set()), ("mixed", set(KEPT_FLOAT))])
def test_which_kernels_are_rounded(checkpoint_dir, precision, kept):
    unet = read_unet(Checkpoint(checkpoint_dir), tiny.ARCHITECTURE, "vocals")
    data = compile_graph(unet, GraphSpec(T=64, B=8, precision=precision), {})
    graph = schema().Model.GetRootAs(data).Subgraphs(0)
    tensors = [graph.Tensors(n) for n in range(graph.TensorsLength())]
    kinds = {tensor.Name().decode(): tensor.Type() for tensor in tensors}
    rounded = {layer for layer in LAYERS if kinds[f"{layer}/kernel"] == schema().TensorType.INT8}
    assert rounded == LAYERS - kept


@pytest.fixture(scope="module")
def music() -> Magnitudes:
    """The song that comes along, float32 [shape=(spectra, MODEL_BINS, CHANNELS)]."""
    samples, _ = soundfile.read(SONG, dtype="float32")
    analysis, spectrum = Analysis(SPLEETER, CHANNELS), np.empty((1, CHANNELS, N_BINS), np.complex64)
    hops = (samples.T[:, n : n + HOP_LENGTH] for n in range(0, len(samples), HOP_LENGTH))
    whole = (hop for hop in hops if hop.shape[1] == HOP_LENGTH)
    return np.array([np.abs(analysis.process(hop, spectrum)[0, :, :MODEL_BINS].T) for hop in whole])


@pytest.fixture(scope="module")
def unets() -> list[UNet]:
    return [read_weights(path)[0] for path in Library().find("2stems").paths.values()]


@pytest.mark.parametrize("spec", [(64, 8, 8, 0), (64, 2, 0, 8), (128, 8, 8, 0)])
def test_quantized_networks_make_nearly_the_same_of_music(unets, music, spec, tmp_path):
    for unet in unets:
        full = estimates(unet, GraphSpec(*spec), music, tmp_path / "full.tflite")
        for precision, least in (("int8", 14), ("mixed", 24)):
            path = tmp_path / f"{precision}.tflite"
            error = full - estimates(unet, GraphSpec(*spec, precision), music, path)
            agreement = 10 * np.log10(np.square(full).sum() / np.square(error).sum())
            assert agreement > least, precision


@pytest.mark.parametrize("spec", [(64, 4, 8, 0), (128, 128, 0, 0)])
def test_full_precision_makes_the_same_of_music_as_the_plain_graph(unets, music, spec, tmp_path):
    for unet in unets:
        compiled = estimates(unet, GraphSpec(*spec), music, tmp_path / "compiled.tflite")
        plain = estimates(unet, GraphSpec(*spec), music, tmp_path / "plain.tflite", write_graph)
        assert np.abs(compiled - plain).max() <= 1e-5 * plain.max()


def estimates(unet: UNet, spec: GraphSpec, music: Magnitudes, path: Path, write=compile_graph):
    path.write_bytes(write(unet, spec, {}))
    network, found = Network(path), []
    for start in range(0, len(music) - spec.T, 60):
        out = np.empty((spec.B, MODEL_BINS, CHANNELS), np.float32)
        network(np.ascontiguousarray(music[start : start + spec.T]), out)
        found.append(out)
    return np.array(found)
