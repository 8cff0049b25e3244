"""The student sees what the daemon would show it, and is compared where it would be heard."""

import pytest
import torch

import tiny_model as tiny
from stemd.tflite_models.checkpoint import Checkpoint
from stemd.tflite_models.variables import read_unet
from training.distil import IN_8_BITS, WITHOUT_FUTURE, Lesson, distil
from training.learner import Settings


def numbered(rows):
    """Spectra that hold their own number [shape=(1, 1, rows, 1)]."""
    return torch.arange(float(rows))[None, None, :, None]


def test_the_window_ends_with_the_newest_spectra_mirrored():
    window = Lesson(T=64, mirror=3).window(numbered(128)).flatten().tolist()
    assert window == [*range(3, 64), 62, 61, 60]


@pytest.mark.parametrize("lesson", [WITHOUT_FUTURE, IN_8_BITS, Lesson(mirror=5, ahead=2, rows=4)])
def test_the_same_spectra_are_compared(lesson):
    x = numbered(128)
    ours, its = lesson.of_student(lesson.window(x)), lesson.of_teacher(x)
    assert torch.equal(ours, its)
    assert its.shape[-2] == lesson.rows
    assert its[0, 0, -1, 0] == 63 - lesson.ahead


@pytest.mark.parametrize("lesson", [WITHOUT_FUTURE, IN_8_BITS])
def test_students_learn(tmp_path, tracks, lesson):
    checkpoint = Checkpoint(tiny.write_checkpoint(tmp_path / "checkpoint", tiny.variables()))
    networks = {stem: read_unet(checkpoint, tiny.ARCHITECTURE, stem) for stem in tiny.STEMS}
    settings = Settings(steps=2, windows=((128, 2),))
    said = []
    student = distil(
        tmp_path, tmp_path / "run", tracks, settings, networks, lesson, every=1, say=said.append
    )
    assert student.step == len(said) == 2
    assert (tmp_path / "run" / "checkpoint.pt").exists()
