"""A lighter network keeps what tells most, and its kernels make up for the rest."""

import numpy as np
import pytest
import torch

import tiny_model as tiny
from research.training import narrowing
from research.training.narrowing import fit, influence, narrow
from research.training.network import estimate, weights_of
from stemd.tflite_models.spleeter.architecture import Architecture, widths
from stemd.tflite_models.spleeter.checkpoint import Checkpoint
from stemd.tflite_models.spleeter.unet import from_tensors
from stemd.tflite_models.spleeter.variables import read_unet

FILTERS = (4, 6, 8, 6, 4, 6)
LAYERS = [name for name, _, _ in widths(FILTERS)][:-1]


@pytest.fixture(params=[tiny.OFFICIAL_2, tiny.OFFICIAL_4], ids=["relu", "elu"])
def networks(tmp_path, request):
    """Two networks with random weights, by stem."""
    checkpoint = Checkpoint(tiny.write_checkpoint(tmp_path, tiny.variables(filters=FILTERS)))
    architecture = Architecture(tiny.STEMS, request.param, FILTERS)
    return {stem: read_unet(checkpoint, architecture, stem) for stem in tiny.STEMS}


@pytest.fixture
def heard():
    """Some windows of noise."""
    return torch.rand(12, 2, 64, 1024) * 3


def changed(unet, change):
    """The network, each of whose arrays was changed in place; given the layer and the part."""
    arrays = {name: array.copy() for name, array in unet.tensors().items()}
    for name, array in arrays.items():
        layer, _, part = name.rpartition("/")
        if layer in LAYERS:
            change(array, part)
    return from_tensors(unet.stem, unet.activations, arrays)


def silenced(unet, every):
    """The network, of which each nth filter of each layer gives nothing."""

    def silence(array, part):
        if part != "scale":
            array[::every] = 0

    return changed(unet, silence)


def doubled(unet):
    """The network, the second half of whose filters in each layer is the first half again."""

    def double(array, _):
        array[len(array) // 2 :] = array[: len(array) // 2]

    return changed(unet, double)


def test_filters_that_give_nothing_are_left_out(networks, heard):
    networks = {stem: silenced(unet, 2) for stem, unet in networks.items()}
    narrowed = narrow(networks, heard)
    for stem, unet in narrowed.items():
        assert [len(layer.bias) for layer in unet.encoder] == [n // 2 for n in FILTERS]
        before, after = weights_of(networks[stem]), weights_of(unet)
        told, got = (estimate(each, unet.activations, heard[:2]) for each in (before, after))
        np.testing.assert_allclose(got.numpy(), told.numpy(), atol=2e-3)


def test_what_gives_nothing_tells_nothing(networks, heard):
    unet = silenced(networks["vocals"], 3)
    other = [(weights_of(networks["accompaniment"]), unet.activations)]
    told = influence(weights_of(unet), unet.activations, heard, other)
    assert set(told) == set(LAYERS)
    for each in told.values():
        assert not each[::3].any()
        assert (each[1::3] > 0).all()


def test_kernels_make_up_for_what_is_missing(networks, heard, monkeypatch):
    unet = doubled(networks["vocals"])
    weights = weights_of(unet)
    kept = {layer: torch.arange(len(weights[f"{layer}/bias"]) // 2) for layer in LAYERS}

    def error(light):
        told, got = (estimate(each, unet.activations, heard) for each in (weights, light))
        return float((got - told).square().mean() / told.square().mean())

    monkeypatch.setattr(narrowing, "HELD", 1e-6)
    fitted = error(fit(weights, unet.activations, kept, heard))
    cut = error(narrowing._sliced(weights, kept))
    assert fitted < cut / 100
