"""The student sees what the daemon would show it, and is compared where it would be heard."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from research.training import distil as distillation
from research.training.batches import batches
from research.training.distil import LESSONS, Lesson, distil
from research.training.errors import TrainingError
from research.training.learner import Learner, Settings
from research.training.mixing import USUAL
from research.training.network import analyse, weights_of
from research.training.windows import Window
from stemd.dsp.scheme import Scheme


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """A short validation."""
    monkeypatch.setattr(distillation, "VALIDATION_BATCHES", 1)


def numbered(rows):
    """Spectra that hold their own number [shape=(1, 1, rows, 1)]."""
    return torch.arange(float(rows))[None, None, :, None]


@pytest.mark.parametrize(
    "lesson", [*LESSONS.values(), Lesson(Scheme(T=64, B=4, A=2, mirror=5), rows=4)]
)
def test_the_same_spectra_are_compared(lesson):
    x, window = numbered(128), lesson.window
    ours, its = window.counted(window.seen(lesson.heard(x))), window.counted(lesson.heard(x))
    assert torch.equal(ours, its)
    assert its.shape[-2] == lesson.rows
    assert its[0, 0, -1, 0] == 63 - lesson.scheme.A


def test_who_is_taught_by_stems_is_right_where_it_gives_them(
    tmp_path, tracks, networks, monkeypatch
):
    losses = []

    def learn(student, magnitudes, graph, loss_of):
        waveforms = next(given)
        pair = np.stack([waveforms[:, 0], waveforms[:, 1:].sum(1)], 1)
        spectra = lesson.heard(analyse(torch.from_numpy(pair)))
        true = lesson.window.seen(spectra.abs())
        assert torch.isfinite(true).all()
        losses.append([float(loss_of(each)) for each in (true, true.flip(1))])
        student.step += 1
        return losses[-1][0]

    lesson = LESSONS["live-by-stems"]
    settings = Settings(steps=1, windows=((Window(128), 2),))
    learnt = [track for track in tracks if track.split != "validation"]
    given = batches(tmp_path, learnt, settings, 0)
    monkeypatch.setattr(Learner, "learn", learn)
    distil(tmp_path, tmp_path / "run", tracks, settings, networks, lesson, say=lambda _: None)
    ((right, exchanged),) = losses
    assert right < exchanged - 1


def test_a_run_with_other_mixtures_is_refused(tmp_path, tracks, networks):
    arguments = (tmp_path, tmp_path / "run", tracks, Settings(steps=1, windows=((Window(128), 2),)))
    taught = (networks, LESSONS["live"])
    distil(*arguments, *taught, say=lambda _: None)
    with pytest.raises(TrainingError, match="augmentation"):
        distil(*arguments, *taught, replace(USUAL, sung=0.1), say=lambda _: None)


@pytest.mark.parametrize("lesson", LESSONS.values(), ids=LESSONS)
def test_students_learn(tmp_path, tracks, networks, lesson):
    settings = Settings(steps=2, windows=((Window(128), 2),))
    said = []
    student = distil(
        tmp_path, tmp_path / "run", tracks, settings, networks, lesson, every=1, say=said.append
    )
    assert student.step == 2
    assert [point["step"] for point in student.curve] == [0, 1, 2]
    assert all(point["sdr_db"].keys() == networks.keys() for point in student.curve)

    assert np.isfinite([point["loss"] for point in student.curve[1:]]).all()
    for stem, unet in networks.items():
        before = weights_of(unet)
        assert any(not torch.equal(student.weights[stem][name], before[name]) for name in before)
    assert len(said) == 5  # each measure, and the pace of each step
    assert (tmp_path / "run" / "checkpoint.pt").exists()


def test_what_makes_the_curve_is_not_learnt_from(tmp_path, tracks, networks, monkeypatch):
    given, checked = [], []

    class Spy(distillation.Mixer):
        def __init__(self, folder, tracks, seed):
            checked.extend(tracks)
            super().__init__(folder, tracks, seed)

    monkeypatch.setattr(distillation, "Mixer", Spy)
    monkeypatch.setattr(
        distillation, "batches", lambda _, heard, *__: given.append(heard) or iter(())
    )
    settings = Settings(steps=1, windows=((Window(128), 2),))
    said = (networks, LESSONS["live"])
    distil(tmp_path, tmp_path / "run", tracks, settings, *said, say=lambda _: None)
    assert {track.split for track in given[0]} == {"train"}
    assert {track.split for track in checked} == {"validation"}
