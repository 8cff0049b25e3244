"""Fine-tunes networks for drums, bass and other, all at once, through the masks they share.

What is learnt is what is heard: the error of each stem's masked mixture, in decibels, with the
vocals' network as it is. Every network sees what the others estimate; a bin that none of them
claims would go to the vocals.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from research.training.batches import batches, frames_of
from research.training.evaluate import DEFAULT
from research.training.learner import THREADS, Learner, Settings, alone_in, digest_of_networks, run
from research.training.mixing import USUAL, Batch, Mixer
from research.training.network import analyse, ratio_masks
from research.training.start import Start
from research.training.tracks import STEMS, Track, digest_of
from research.training.windows import Window, window_of

LEARNING = STEMS[1:]
FLOOR, SOFTEST = 0.03, 0.1
"""Of an error's power against the mixture's, and of its magnitude: what is 15 or 20 dB below it is
nearly good enough. With less, keeping silent stems silent counts more than parting what sounds."""
VOCALS = 2
"""How much the vocals' error counts against drums', bass' or other's: they are what is asked for
most, and are not to be worse than those of two stems."""
HEARD = 1e-2
"""Power of a stem against the mixture's from which on it has an SDR."""
WHOLE = Window(64)
"""What the curve is of, …"""
BALANCED = window_of(DEFAULT.scheme, 32, DEFAULT.precision)
"""… and again as the daemon computes, but of more rows: the few it emits would tell little."""
VALIDATION_BATCHES = 12
VALIDATION_SEED = 1

Say = Callable[[str], None]


def about_loss(vocals: float) -> str:
    """Return what a run tells its loss by."""
    return f"floor {FLOOR:g}, softest {SOFTEST:g}, vocals {vocals:g}"


def loss_of(stems: Tensor, estimates: Tensor, vocals: float) -> tuple[Tensor, Tensor]:
    """Return the loss of the masked mixture.

    Parameters
    ----------
    stems : complex64 [shape=(batch, stems, channels, spectra, bins)]
        The vocals first.
    estimates : float32 [same shape]
    vocals : float
        How much their error counts against any other stem's.

    Returns
    -------
    loss : float32 []
    sdr_db : float32 [shape=(batch, stems)]
        NaN for a stem that is silent.
    """
    mixture = stems.sum(1, keepdim=True)
    masked = mixture * ratio_masks(estimates)
    loudness = _power(mixture) + 1e-6
    error = _power(masked - stems)
    # The second half hears what is soft: magnitudes count there, not their squares.
    softer = _sum((masked.abs() - stems.abs()).abs()) / (_sum(mixture.abs()) + 1e-3)
    each = torch.log10(error / loudness + FLOOR) + torch.log10(softer + SOFTEST)
    counts = torch.ones(each.shape[1])
    counts[0] = vocals
    loss = (each * counts).sum(1).mean() / counts.sum()
    own = _power(stems)
    sdr_db = 10 * torch.log10(own / (error + 1e-9))
    return loss, torch.where(own > HEARD * loudness, sdr_db, torch.nan).detach()


def loss_against(stems: Tensor, estimates: Tensor, vocals: float) -> Tensor:
    """Return the loss alone."""
    return loss_of(stems, estimates, vocals)[0]


def _power(x: Tensor) -> Tensor:
    return _sum(x.real.square() + x.imag.square())


def _sum(x: Tensor) -> Tensor:
    return x.sum((2, 3, 4))


def train(
    material: Path,
    folder: Path,
    tracks: Sequence[Track],
    settings: Settings,
    start: Start,
    every: int = 500,
    say: Say = print,
) -> Learner:
    """Train, or go on training.

    Parameters
    ----------
    material : Path
        Where the tracks' files are.
    folder : Path
        Of the run.
    tracks : sequence of Track
    settings : Settings
    start : Start
        What it begins with; the vocals stay as they are.
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
        "augmentation": str(USUAL),
        "loss": about_loss(VOCALS),
        "start": start.name,
        "vocals": digest_of_networks({"vocals": start.networks["vocals"]}),
        "history": json.dumps(start.before),
    }
    with alone_in(folder):
        learner = Learner(folder, settings, start.networks, LEARNING, about)
        heard = [track for track in tracks if track.split == "train"]
        checked = [track for track in tracks if track.split == "validation"]
        mixer = Mixer(material, checked, VALIDATION_SEED)
        mixed = (
            mixer.batch(n, 4, frames_of(max(WHOLE.T, BALANCED.T)))
            for n in range(VALIDATION_BATCHES)
        )
        validation = [analyse(torch.from_numpy(waveforms)) for waveforms in mixed]

        def learn(waveforms: Batch) -> float:
            stems = analyse(torch.from_numpy(waveforms))
            window, _ = settings.batch_at(learner.step)

            def loss(estimates: Tensor) -> Tensor:
                return loss_against(window.counted(stems), window.counted(estimates), VOCALS)

            return learner.learn(window.seen(stems.sum(1).abs()), window.graph, loss)

        def validated(window: Window) -> dict[str, Any]:
            def pair(stems: Tensor) -> tuple[Tensor, Tensor]:
                heard = stems[..., : window.heard, :]
                estimates = learner.estimate(window.seen(heard.sum(1).abs()), window.graph)
                return window.counted(heard), window.counted(estimates)

            return validate(map(pair, validation), STEMS, VOCALS)

        def measure() -> dict[str, Any]:
            return {**validated(WHOLE), "balanced": validated(BALANCED)}

        run(
            learner,
            batches(material, heard, settings, learner.step),
            learn,
            measure,
            every,
            say,
        )
        return learner


def validate(
    pairs: Iterable[tuple[Tensor, Tensor]], names: Sequence[str], vocals: float
) -> dict[str, Any]:
    """Return the loss, and each stem's mean SDR in decibels.

    Parameters
    ----------
    pairs : iterable of (stems, estimates)
        As `loss_of` takes them.
    names : sequence of str
        Of the stems.
    vocals : float
        As `loss_of` takes it.
    """
    losses, ratios = zip(*(loss_of(*pair, vocals) for pair in pairs), strict=True)
    means = torch.cat(ratios).nanmean(0)
    sdr_db = {stem: round(float(mean), 3) for stem, mean in zip(names, means, strict=True)}
    return {"validation": float(np.mean([float(loss) for loss in losses])), "sdr_db": sdr_db}
