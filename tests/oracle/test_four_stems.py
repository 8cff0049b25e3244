"""The official code with the official 4-stem configuration and random weights."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from stemd.daemon.cli.models import models
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.spleeter.plain import write_graph
from stemd.tflite_models.spleeter.reader import read_weights
from stemd.tflite_models.spleeter.unet import Activations
from stemd.tflite_models.store.library import Library

from .compare import error, run, snr_db

pytestmark = pytest.mark.oracle

STEMS = ("vocals", "drums", "bass", "other")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("4stems")


@pytest.fixture(scope="module")
def answers(official, song, checkpoint) -> Mapping[str, np.ndarray]:
    return official.random4(song, checkpoint)


@pytest.fixture(scope="module")
def paths(answers, checkpoint, tmp_path_factory) -> Mapping[str, Path]:
    """The networks as the command installs them."""
    home = tmp_path_factory.mktemp("home")
    arguments = ["install", "4stems", "--from", str(checkpoint), "--allow-unverified"]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_DATA_HOME", str(home))
        result = CliRunner().invoke(models, arguments, catch_exceptions=False)
        assert "installed 4stems: vocals, drums, bass, other (fp32, NOT verified)" in result.output
        return Library().find("4stems").paths


@pytest.fixture(scope="module")
def outs(answers, paths) -> Mapping[str, np.ndarray]:
    return {stem: run(path, answers["mixture"]) for stem, path in paths.items()}


def test_each_network_equals_the_official_one(answers, outs):
    assert tuple(outs) == STEMS
    for stem, out in outs.items():
        # Measured: 3.5e-6 to 8e-6, 115 to 123 dB.
        assert error(out, answers[stem]) < 1e-4
        assert snr_db(out, answers[stem]) > 105


@pytest.mark.parametrize("stem", STEMS)
def test_no_network_equals_another_s(answers, outs, stem):
    for other in set(STEMS) - {stem}:
        assert error(outs[stem], answers[other]) > 0.05


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_the_activations_matter(answers, paths, tmp_path, part):
    unet, _ = read_weights(paths["bass"])
    wrong = replace(Activations("elu", "elu"), **{part: "relu"})
    path = tmp_path / "wrong.tflite"
    path.write_bytes(write_graph(replace(unet, activations=wrong), GraphSpec(), {}))
    assert error(run(path, answers["mixture"]), answers["bass"]) > 0.01
