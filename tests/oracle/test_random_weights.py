"""The official code with the official configurations of four and five stems, and random weights."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from stemd.daemon.cli.models import models
from stemd.dsp.banks import Bank
from stemd.dsp.scheme import Scheme
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.spleeter.architecture import Activations
from stemd.tflite_models.spleeter.plain import write_graph
from stemd.tflite_models.spleeter.reader import read_weights
from stemd.tflite_models.store.library import Library
from stemd.tflite_models.store.sets import ModelSet

from .compare import error, run, snr_db

pytestmark = pytest.mark.oracle

STEMS = {
    "4stems": ("vocals", "drums", "bass", "other"),
    "5stems": ("vocals", "piano", "drums", "bass", "other"),
}


@pytest.fixture(scope="module", params=STEMS)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def checkpoint(name, tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp(name)


@pytest.fixture(scope="module")
def answers(official, song, name, checkpoint) -> Mapping[str, np.ndarray]:
    return official.random(song, name, checkpoint)


@pytest.fixture(scope="module")
def found(answers, name, checkpoint, tmp_path_factory) -> ModelSet:
    """The networks as the command installs them."""
    home = tmp_path_factory.mktemp("home")
    arguments = ["install", name, "--from", str(checkpoint), "--allow-unverified"]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_DATA_HOME", str(home))
        result = CliRunner().invoke(models, arguments, catch_exceptions=False)
        told = f"installed {name}: {', '.join(STEMS[name])} (fp32, NOT verified)"
        assert told in result.output
        return Library().find(name)


@pytest.fixture(scope="module")
def outs(answers, found) -> Mapping[str, np.ndarray]:
    """Each stem's magnitudes [shape=(windows, 128, 1024, 2)]."""
    given = {stem: run(path, answers["mixture"]) for stem, path in found.paths.items()}
    return shared(given, answers["mixture"]) if found.masks == "softmax" else given


def shared(logits: Mapping[str, np.ndarray], mixture: np.ndarray) -> Mapping[str, np.ndarray]:
    """Turn logits into magnitudes, as the separator does."""
    bank = Bank(Scheme(T=128, B=128, A=0), len(logits))
    outs = {stem: np.empty_like(mixture) for stem in logits}
    for n, window in enumerate(mixture):
        bank.magnitudes[:] = window
        bank.estimates[:] = [each[n] for each in logits.values()]
        bank.share_by_softmax()
        for out, estimate in zip(outs.values(), bank.estimates, strict=True):
            out[n] = estimate
    return outs


def test_each_network_equals_the_official_one(name, answers, outs):
    assert tuple(outs) == STEMS[name]
    for stem, out in outs.items():
        # Measured: 2.5e-6 to 8e-6, 115 to 123 dB.
        assert error(out, answers[stem]) < 1e-4
        assert snr_db(out, answers[stem]) > 105


def test_no_network_equals_another_s(name, answers, outs):
    for stem in STEMS[name]:
        for other in set(STEMS[name]) - {stem}:
            assert error(outs[stem], answers[other]) > 0.05


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_the_activations_matter(answers, found, outs, tmp_path, part):
    unet, _ = read_weights(found.paths["bass"])
    wrong = replace(Activations("elu", "elu"), **{part: "relu"})
    path = tmp_path / "wrong.tflite"
    path.write_bytes(write_graph(replace(unet, activations=wrong), GraphSpec(), {}))
    right = run(found.paths["bass"], answers["mixture"])
    # Ours are a thousand times closer.
    assert error(run(path, answers["mixture"]), right) > 3e-3
