"""Teaches networks to do with less: without a future, or in 8 bits.

The teacher is the set as it is, which sees what comes before and after. The student sees what the
daemon sees, the newest spectra mirrored in place of those to come, or computes as 8-bit arithmetic
does, and learns to mask as the teacher does. No stems are needed, so any music will do. Or it
learns from the stems themselves, where the material has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from research.training.batches import batches, frames_of
from research.training.learner import THREADS, Learner, Settings, alone_in, run
from research.training.mixing import USUAL, Augmentation, Batch, Mixer
from research.training.network import analyse, estimate, ratio_masks, weights_of
from research.training.tracks import Track, digest_of
from research.training.train import (
    VALIDATION_BATCHES,
    VALIDATION_SEED,
    Say,
    about_loss,
    loss_against,
    validate,
)
from research.training.windows import Window, window_of
from stemd.daemon.presets import SHORTEST_WINDOWS
from stemd.dsp.scheme import Scheme
from stemd.tflite_models.graphs.spec import StreamingPrecision
from stemd.tflite_models.spleeter.unet import UNet


@dataclass(frozen=True)
class Lesson:
    """What the student has to do with.

    Attributes
    ----------
    scheme : Scheme
        What it sees. The spectra that are compared end where those end that the scheme emits.
    rows : int
        How many are compared: more than the scheme emits, as those with a longer delay want to
        be served too, and what can be told well holds the student to what it knows.
    precision : StreamingPrecision
        Of its arithmetic.
    by_stems : bool
        Whether the material's own stems are the teacher.
    """

    scheme: Scheme
    rows: int
    precision: StreamingPrecision = "fp32"
    by_stems: bool = False

    @property
    def window(self) -> Window:
        """What the student sees, how it computes, and what of it is compared."""
        return window_of(self.scheme, self.rows, self.precision)

    def heard(self, x: Tensor) -> Tensor:
        """Return what the student hears of what the teacher does [shape=(…, spectra, bins)].

        Its newest spectrum is the teacher's middle one.
        """
        end = x.shape[-2] // 2
        return x[..., end - self.window.heard : end, :]


SHORTEST = Scheme(T=64, B=1, A=0, mirror=8)
"""Nothing after the newest spectrum. No preset, for its quality: 0.116 s."""
WITHOUT_FUTURE = Lesson(SHORTEST, rows=32)
WITH_FUTURE = Lesson(SHORTEST_WINDOWS["balanced"][0], rows=32)
LESSONS = {
    "live": WITHOUT_FUTURE,
    "live-by-stems": replace(WITHOUT_FUTURE, by_stems=True),
    # What the material alone teaches, to compare that one with.
    "balanced-by-stems": replace(WITH_FUTURE, by_stems=True),
    "int8": replace(WITH_FUTURE, rows=16, precision="int8"),
}

NEWEST = 8
"""Rows that make the curve: about those that are emitted."""

VOCALS = 1
"""How much their error counts: what is missing there is too much in the accompaniment."""

SETTINGS = Settings(steps=1000, rate=1e-5, windows=((Window(128), 4),))
"""Slow, so that nothing is forgotten that is not in the material, as singing."""


def distil(
    material: Path,
    folder: Path,
    tracks: Sequence[Track],
    settings: Settings,
    networks: Mapping[str, UNet],
    lesson: Lesson,
    augmentation: Augmentation = USUAL,
    every: int = 100,
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
        Those of the split `validation` make the curve; all others are learnt from.
    settings : Settings
        Its windows are the teacher's, which is exact whatever precision they have.
    networks : mapping of str to UNet
        The teacher's, vocals and accompaniment; the student begins as its likeness.
    lesson : Lesson
    augmentation : Augmentation
    every : int
        Steps between checkpoints.
    say : callable
        Is told how it goes.

    Raises
    ------
    TrainingError
        The folder holds another run, or another program goes on with this one.
    """
    torch.set_num_threads(THREADS)  # of what the networks share
    about = {
        "material": digest_of(tracks),
        "lesson": str(lesson),
        "augmentation": str(augmentation),
        "loss": about_loss(VOCALS),
    }
    with alone_in(folder):
        student = Learner(folder, settings, networks, tuple(networks), about)
        teacher = [(weights_of(unet), unet.activations) for unet in networks.values()]

        def told(waveforms: Batch) -> tuple[Tensor, Tensor]:
            """Return what the student sees, and the stems that it is told."""
            mixture = analyse(torch.from_numpy(waveforms.sum(1)))
            if lesson.by_stems:
                pair = np.stack([waveforms[:, 0], waveforms[:, 1:].sum(1)], 1)
                stems = analyse(torch.from_numpy(pair))
            else:
                with torch.no_grad():
                    estimates = [estimate(*network, mixture.abs()) for network in teacher]
                stems = mixture[:, None] * ratio_masks(torch.stack(estimates, 1))
            return lesson.window.seen(lesson.heard(mixture.abs())), lesson.heard(stems)

        def learn(waveforms: Batch) -> float:
            seen, stems = told(waveforms)

            def loss(estimates: Tensor) -> Tensor:
                counted = lesson.window.counted
                return loss_against(counted(stems), counted(estimates), VOCALS)

            return student.learn(seen, lesson.window.graph, loss)

        newest = replace(lesson.window, rows=NEWEST)
        checked = [track for track in tracks if track.split == "validation"]
        mixer = Mixer(material, checked, VALIDATION_SEED)
        validation = [told(mixer.batch(n, 4, frames_of(128))) for n in range(VALIDATION_BATCHES)]

        def measure() -> dict[str, Any]:
            return validate(
                (
                    (
                        newest.counted(stems),
                        newest.counted(student.estimate(seen, lesson.window.graph)),
                    )
                    for seen, stems in validation
                ),
                tuple(networks),
                VOCALS,
            )

        heard = [track for track in tracks if track.split != "validation"]
        run(
            student,
            batches(material, heard, settings, student.step, augmentation),
            learn,
            measure,
            every,
            say,
        )
        return student
