"""Tracks of noise, and small networks; PyTorch and mido are only where networks are trained."""

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

if find_spec("torch") is None or find_spec("mido") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def processes(request, monkeypatch) -> None:
    """A thread instead of each pool of processes, which take seconds to begin, if not marked."""
    if request.node.get_closest_marker("processes"):
        return
    from research import workers

    def thread(count, context, begin, arguments):
        prepare, given = arguments
        if prepare:
            prepare(*given)
        return ThreadPoolExecutor(1)

    monkeypatch.setattr(workers, "ProcessPoolExecutor", thread)


@pytest.fixture(autouse=True)
def chance() -> None:
    """What torch draws is the same in each test, whichever ran before."""
    import torch

    torch.manual_seed(1)


@pytest.fixture
def tracks(tmp_path: Path) -> list:
    """Two songs and a voice, three seconds each, at levels of their own."""
    from research.training.tracks import STEMS, Track
    from stemd.dsp.scheme import SAMPLERATE

    rng = np.random.default_rng(1)
    made = []
    for song in ("one", "two"):
        for stem in STEMS:
            file = f"{song}-{stem}.flac"
            x = 0.2 * rng.standard_normal((3 * SAMPLERATE, 1 if stem == "vocals" else 2))
            soundfile.write(tmp_path / file, np.clip(x, -1, 1), SAMPLERATE)
            split = "train" if song == "one" else "validation"
            made.append(Track(file, split, "noise", song, stem, 0.5, "0" * 64))
    return made


@pytest.fixture
def networks(tmp_path: Path) -> dict:
    """Two small networks, by stem."""
    import tiny_model as tiny
    from stemd.tflite_models.spleeter.checkpoint import Checkpoint
    from stemd.tflite_models.spleeter.variables import read_unet

    checkpoint = Checkpoint(tiny.write_checkpoint(tmp_path / "checkpoint", tiny.variables()))
    return {stem: read_unet(checkpoint, tiny.ARCHITECTURE, stem) for stem in tiny.STEMS}


@pytest.fixture
def out_dir(tmp_path: Path) -> Path:
    """The program's folder of sets, with a small one to start from."""
    import tiny_model as tiny
    from stemd.tflite_models.store.convert import checkpoint_sha256, convert
    from stemd.tflite_models.store.set_folder import write_set

    checkpoint = tiny.write_checkpoint(tmp_path / "checkpoint", tiny.variables())
    release = tiny.release(checkpoint, tiny.write_archive(tmp_path / "2.tar.gz", checkpoint))
    folder = tmp_path / "sets" / "2stems"
    found = checkpoint_sha256(release, checkpoint)
    write_set(folder, *convert(release, checkpoint, found, "fp16"), plain_names=True)
    return folder.parent
