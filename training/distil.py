"""Teaches networks to do with less: without a future, or in 8 bits.

The teacher is the set as it is, which sees what comes before and after. The student sees what the
daemon sees, the newest spectra mirrored in place of those to come, or computes as 8-bit arithmetic
does, and learns to mask as the teacher does. No stems are needed, so any music will do. Or it
learns from the stems themselves, where the material has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stemd.tflite_models.unet import UNet
from training.batches import batches
from training.learner import Learner, Settings, run
from training.mixing import Batch
from training.network import analyse, estimate, ratio_masks, weights_of
from training.tracks import Track
from training.train import Say, loss_against


@dataclass(frozen=True)
class Lesson:
    """What the student has to do with.

    Attributes
    ----------
    T : int
        Spectra in its window.
    mirror : int
        How many of them are not heard, but mirror the newest ones.
    ahead : int
        How many that are heard follow those that are compared.
    rows : int
        How many are compared with the teacher's.
    rounded : bool
        Whether it computes in 8 bits.
    by_stems : bool
        Whether the material's own stems are the teacher.
    """

    T: int = 64
    mirror: int = 8
    ahead: int = 0
    rows: int = 8
    rounded: bool = False
    by_stems: bool = False

    def window(self, magnitudes: Tensor) -> Tensor:
        """Give what the student sees of what the teacher sees [shape=(…, spectra, bins)].

        The newest spectrum that it hears is the teacher's middle one.
        """
        end = magnitudes.shape[-2] // 2
        heard = magnitudes[..., end - self.T + self.mirror : end, :]
        if not self.mirror:
            return heard
        return torch.cat([heard, heard[..., -1 - self.mirror : -1, :].flip(-2)], -2)

    def of_teacher(self, x: Tensor) -> Tensor:
        """Give the rows that are compared, of the teacher's."""
        end = x.shape[-2] // 2 - self.ahead
        return x[..., end - self.rows : end, :]

    def of_student(self, x: Tensor) -> Tensor:
        """Give the same rows of the student's."""
        end = self.T - self.mirror - self.ahead
        return x[..., end - self.rows : end, :]


WITHOUT_FUTURE = Lesson()
"""As `live`: nothing after the newest spectrum."""
IN_8_BITS = Lesson(mirror=0, ahead=8, rows=16, rounded=True)
"""As `balanced`."""
LESSONS = {
    "live": WITHOUT_FUTURE,
    "live-by-stems": replace(WITHOUT_FUTURE, by_stems=True),
    "int8": IN_8_BITS,
}

SETTINGS = Settings(steps=3000, rate=3e-5, windows=((128, 4),))
"""Slow, so that nothing is forgotten that is not in the material, as singing."""


def distil(
    material: Path,
    folder: Path,
    tracks: Sequence[Track],
    settings: Settings,
    networks: Mapping[str, UNet],
    lesson: Lesson,
    every: int = 250,
    say: Say = print,
) -> Learner:
    """Teach, or go on teaching.

    Parameters
    ----------
    material : Path
        Where the tracks' files are.
    folder : Path
        Of the run.
    tracks : sequence of Track
    settings : Settings
        Its windows are the teacher's.
    networks : mapping of str to UNet
        The teacher's, vocals and accompaniment; the student begins as its likeness.
    lesson : Lesson
    every : int
        Steps between checkpoints.
    say : callable
        Is told how it goes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    student = Learner(folder, settings, networks, tuple(networks), lesson.rounded)
    teacher = [(weights_of(unet), unet.activations) for unet in networks.values()]

    def learn(waveforms: Batch) -> float:
        mixture = analyse(torch.from_numpy(waveforms.sum(1)))
        if lesson.by_stems:
            pair = np.stack([waveforms[:, 0], waveforms[:, 1:].sum(1)], 1)
            stems = analyse(torch.from_numpy(pair))
        else:
            with torch.no_grad():
                estimates = [estimate(*network, mixture.abs()) for network in teacher]
            stems = mixture[:, None] * ratio_masks(torch.stack(estimates, 1))
        loss = partial(_loss, lesson, lesson.of_teacher(stems))
        return student.learn(lesson.window(mixture.abs()), loss)

    def report(loss: float, pace_s: float) -> None:
        say(json.dumps({"step": student.step, "loss": loss, "pace_s": pace_s}))

    run(student, batches(material, tracks, settings, student.step), learn, report, every)
    return student


def _loss(lesson: Lesson, stems: Tensor, estimates: Tensor) -> Tensor:
    return loss_against(stems, lesson.of_student(estimates))
