"""Batches of mixtures, made by a process of their own while the networks learn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from research.training.learner import Settings
from research.training.mixing import USUAL, Augmentation, Batch, Mixer
from research.training.tracks import Track
from research.workers import workers
from stemd.dsp.scheme import SPLEETER

AHEAD = 4
"""Batches made before they are needed."""


def frames_of(spectra: int) -> int:
    """Return the frames that spectra are made of."""
    return SPLEETER.n_fft + (spectra - 1) * SPLEETER.hop_length


def batches(
    folder: Path,
    tracks: Sequence[Track],
    settings: Settings,
    first: int,
    augmentation: Augmentation = USUAL,
) -> Iterator[Batch]:
    """Return the batches of a run from a step on.

    Parameters
    ----------
    folder : Path
        Of the tracks' files.
    tracks : sequence of Track
    settings : Settings
    first : int
        The step.
    augmentation : Augmentation
    """
    mixer = Mixer(folder, tracks, settings.seed, augmentation)
    with workers(1, _prepare, mixer) as process:
        ahead: list[Future[Batch]] = [
            process.submit(_batch, settings, first + n) for n in range(AHEAD)
        ]
        for number in range(first, settings.steps):
            ahead.append(process.submit(_batch, settings, number + AHEAD))
            yield ahead.pop(0).result()
        for job in ahead:
            job.cancel()


_mixers: list[Mixer] = []


def _prepare(mixer: Mixer) -> None:
    _mixers[:] = [mixer]


def _batch(settings: Settings, number: int) -> Batch:
    window, size = settings.batch_at(number)
    return _mixers[0].batch(number, size, frames_of(window.heard))
