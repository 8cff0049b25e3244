"""Our graphs against the official ones on TensorFlow, on a real song."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from stemd.tflite_models.store import bundle
from stemd.tflite_models.store.install import Installer
from stemd.tflite_models.store.library import Library

from .compare import error, run, snr_db

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def answers(official, song) -> Mapping[str, np.ndarray]:
    return official.networks(song)


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Library:
    folder = tmp_path_factory.mktemp("library")
    return Library(folder / "data", folder / "cache")


def test_the_song_is_worth_asking_about(answers):
    mixture = answers["mixture"]
    assert mixture.shape == (4, 128, 1024, 2)
    for stem in ("vocals", "accompaniment"):
        mask = (answers[stem] / np.maximum(mixture, 1e-9))[mixture > 1e-3]
        assert mask.std() > 0.2


def test_installed_networks_equal_the_official_ones(official, answers, library):
    found = Installer(library).install("2stems", official.checkpoint)
    assert found.manifest.provenance.verified
    assert found.stems == ("vocals", "accompaniment")
    for stem, path in found.paths.items():
        out = run(path, answers["mixture"])
        # Measured: 1.4e-6 and 4e-7, 127 and 134 dB.
        assert error(out, answers[stem]) < 1e-5
        assert snr_db(out, answers[stem]) > 120


def test_bundled_networks_are_near_the_official_ones(answers, tmp_path):
    found = Library(tmp_path, tmp_path).find("2stems")
    assert found.origin == "bundled"
    for stem, path in found.paths.items():
        out = run(path, answers["mixture"])
        # float16 has 11 bits. Measured: 5.5e-4 and 3.9e-4, 72.8 and 76.2 dB.
        assert error(out, answers[stem]) < 1e-3
        assert snr_db(out, answers[stem]) > 70


@pytest.mark.parametrize("stem", ["vocals", "accompaniment"])
def test_bundled_files_serve_other_people_s_runtimes(official, answers, tmp_path, stem):
    path = Library(tmp_path, tmp_path).find("2stems").paths[stem]
    windows = answers["mixture"][:2]
    assert error(official.tflite(windows, path), run(path, windows)) < 1e-5


def test_rebuilding_the_bundle_gives_the_committed_bytes(official, tmp_path):
    bundle.build(official.checkpoint, tmp_path)
    committed = Path(bundle.__file__).parents[1] / bundle.NAME
    rebuilt = tmp_path / bundle.NAME
    names = sorted(path.name for path in committed.iterdir())
    assert names == ["accompaniment.tflite", "manifest.json", "vocals.tflite"]
    assert sorted(path.name for path in rebuilt.iterdir()) == names
    for name in names:
        assert (rebuilt / name).read_bytes() == (committed / name).read_bytes(), name
