"""What the tests of the networks share."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tiny_model as tiny
from stemd.tflite_models.family import Release
from stemd.tflite_models.store.convert import checkpoint_sha256, convert
from stemd.tflite_models.store.install import Installer
from stemd.tflite_models.store.library import Library
from stemd.tflite_models.store.manifest import MANIFEST, Figures, Training, read_manifest
from stemd.tflite_models.store.set_folder import write_set

from .http_server import Site, serving


@pytest.fixture(scope="session")
def checkpoint_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_checkpoint(tmp_path_factory.mktemp("checkpoint"), tiny.variables())


@pytest.fixture(scope="session")
def archive(checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_archive(tmp_path_factory.mktemp("archive") / "2stems.tar.gz", checkpoint_dir)


@pytest.fixture(scope="session")
def release(checkpoint_dir: Path, archive: Path) -> Release:
    return tiny.release(checkpoint_dir, archive)


@pytest.fixture
def library(tmp_path: Path, release: Release) -> Library:
    """A library with nothing in it."""
    return Library(tmp_path / "data", tmp_path / "cache", tmp_path / "bundled", {"2stems": release})


@pytest.fixture
def magnitudes() -> np.ndarray:
    """float32 [shape=(64, 1024, 2)], nothing negative, some of it loud."""
    rng = np.random.default_rng(1)
    return (10 * rng.random((64, 1024, 2)) ** 3).astype(np.float32)


@pytest.fixture
def site(archive: Path) -> Iterator[Site]:
    """A web server that has the archive."""
    with serving() as site:
        site.content = archive.read_bytes()
        yield site


@pytest.fixture
def bundled(tmp_path: Path, checkpoint_dir: Path, release: Release) -> Path:
    """The library's bundled folder, with a set in it."""
    folder = tmp_path / "bundled" / "2stems"
    found = checkpoint_sha256(release, checkpoint_dir)
    write_set(folder, *convert(release, checkpoint_dir, found, "fp16"), plain_names=True)
    return folder


@pytest.fixture
def fine_tuned(bundled: Path) -> Path:
    """The bundled set with its second network trained; the first one's file is another set's."""
    base = bundled.rename(bundled.with_name("base"))
    manifest = read_manifest(base)
    (base / MANIFEST).write_text(manifest.model_copy(update={"name": "base"}).to_json())
    vocals, accompaniment = manifest.files
    draft = manifest.model_copy(
        update={
            "files": (vocals.model_copy(update={"set": "base"}),),
            "training": Training(
                stems=("accompaniment",),
                steps=8,
                seed=1,
                material_sha256="0" * 64,
                card="card.json",
            ),
            "figures": Figures(of="songs", sdr_db={"vocals": 1.25, "accompaniment": 2}),
        }
    )
    graph = (base / accompaniment.file).read_bytes()
    write_set(bundled, draft, [("accompaniment", graph)], plain_names=True)
    return bundled


@pytest.fixture
def installed(library: Library, checkpoint_dir: Path) -> Path:
    """The library's folder of installed networks, with a set in it."""
    return Installer(library).install("2stems", checkpoint_dir).folder


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that may not be looked into; root, who may always, becomes someone else."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)


@pytest.fixture(scope="session")
def other_checkpoint_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that is not the release's."""
    return tiny.write_checkpoint(tmp_path_factory.mktemp("other"), tiny.variables(seed=1))
