"""The light networks hear what the daemon shows, and are compared with what their teacher heard."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import tiny_model as tiny
from research.training import light, pieces
from research.training.errors import TrainingError
from research.training.learner import Settings
from research.training.light import MUSIC, WINDOWS, Crops, crop, loss_of, teach
from research.training.network import estimate, ratio_masks, weights_of
from research.training.pieces import MARGIN, SPECTRA, STEPS, Pieces, Teacher
from research.training.windows import Window
from stemd.tflite_models.spleeter.architecture import Architecture
from stemd.tflite_models.spleeter.checkpoint import Checkpoint
from stemd.tflite_models.spleeter.variables import read_unet

FILTERS = (4, 4, 4, 4, 4, 4)
SETTINGS = Settings(steps=2, windows=((Window(64, mirror=8, A=1, rows=24, precision="mixed"), 1),))


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """A few pieces."""
    for name in ("FIRST_PIECES", "CHECKED", "NARROWED_BY"):
        monkeypatch.setattr(light, name, 2)


@pytest.fixture
def networks(tmp_path) -> dict:
    """Two small networks whose filters can be halved, by stem."""
    checkpoint = Checkpoint(tiny.write_checkpoint(tmp_path / "x", tiny.variables(filters=FILTERS)))
    architecture = Architecture(tiny.STEMS, tiny.OFFICIAL_2, FILTERS)
    return {stem: read_unet(checkpoint, architecture, stem) for stem in tiny.STEMS}


@pytest.fixture
def made(tmp_path, tracks, networks) -> Pieces:
    """Pieces of noise."""
    return Pieces(tmp_path, tracks, MUSIC, Teacher(networks), seed=1)


def test_a_piece_is_made_once_and_says_what_the_teacher_makes_of_it(made, networks, monkeypatch):
    piece = made.get(3)
    heard = torch.from_numpy(np.asarray(piece.magnitudes, np.float32))[None]
    estimates = [estimate(weights_of(each), each.activations, heard) for each in networks.values()]
    masks = ratio_masks(torch.stack(estimates, 1))[0, 0]
    wrong = np.abs(np.asarray(piece.mask, np.float32) / STEPS - masks.numpy())
    assert np.quantile(wrong, 0.999) < 0.02  # by what half precision makes of soft magnitudes
    assert wrong.mean() < 1 / STEPS

    monkeypatch.setattr(Teacher, "separate", None)
    again = made.get(3)
    np.testing.assert_array_equal(again.mask, piece.mask)
    np.testing.assert_array_equal(again.magnitudes, piece.magnitudes)


def test_a_piece_whose_making_was_stopped_is_made_again(made, monkeypatch):
    def stopped(path, array):
        save(path, array)
        if "mask" in path.name:
            raise KeyboardInterrupt

    save = np.save
    monkeypatch.setattr(pieces.np, "save", stopped)
    with pytest.raises(KeyboardInterrupt):
        made.get(0)
    monkeypatch.undo()
    assert made.get(0).mask.shape == (2, SPECTRA, 1024)


def test_another_teacher_has_other_pieces(tmp_path, tracks, networks, made):
    exchanged = dict(zip(networks, reversed(networks.values()), strict=True))
    others = Pieces(tmp_path, tracks, MUSIC, Teacher(exchanged), seed=1)
    assert (others.get(0).mask != made.get(0).mask).any()


@pytest.mark.parametrize("window", [window for window, _ in WINDOWS], ids=str)
def test_where_the_teacher_hears_little_nothing_counts(made, window):
    numbers = np.broadcast_to(np.arange(SPECTRA, dtype=np.float16)[:, None], (2, SPECTRA, 4))
    made.get = lambda _: pieces.Piece(numbers, numbers)
    crops = Crops(made, replace(SETTINGS, windows=((window, 1),)))
    for step in range(40):
        heard, masks = crops.batch(step)
        told, compared = window.counted(window.seen(heard)), window.counted(masks) * STEPS
        np.testing.assert_allclose(compared, told, atol=1e-3)
        assert compared.min() >= MARGIN
        assert compared.max() < SPECTRA - MARGIN


def test_the_loss_is_least_where_the_masks_are_the_teachers(made):
    heard, masks = (x[None] for x in crop(made.get(0), MARGIN, 64))
    right = heard[:, None] * torch.stack([masks, 1 - masks], 1).sqrt()
    (best, (vocals, error)), (worse, _) = (
        loss_of(heard, masks, each) for each in (right, right.flip(1))
    )
    assert best < worse
    assert error < 1e-4 * vocals


def test_students_learn_and_go_on_where_they_were(tmp_path, tracks, networks):
    said = []
    teach(tmp_path, "a", tracks, networks, SETTINGS, every=1, say=said.append)
    assert said[0].startswith("choosing")
    longer = replace(SETTINGS, steps=4)
    said.clear()
    student = teach(tmp_path, "a", tracks, networks, longer, every=1, say=said.append)
    assert student.step == 4
    assert [point["step"] for point in student.curve] == [0, 1, 2, 3, 4]
    assert all(np.isfinite([*point["validation"].values()]).all() for point in student.curve)
    assert not any(line.startswith("choosing") for line in said)
    widths = [len(student.weights["vocals"][f"encoder/{n}/bias"]) for n in range(1, 7)]
    assert widths == [n // 2 for n in FILTERS]


def test_a_run_of_another_teacher_is_refused(tmp_path, tracks, networks):
    teach(tmp_path, "a", tracks, networks, SETTINGS, say=lambda _: None)
    exchanged = dict(zip(networks, reversed(networks.values()), strict=True))
    with pytest.raises(TrainingError, match="teacher"):
        teach(tmp_path, "a", tracks, exchanged, SETTINGS, say=lambda _: None)
