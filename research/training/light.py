"""Teaches lighter networks to mask as the full ones do.

The teacher hears all of a piece, in full precision (`pieces`); the student, which begins as the
teacher's most telling filters (`narrowing`), hears what `live` and `balanced` show it, in the
arithmetic of `mixed`. What is learnt is the masked sound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from research.training import checkpoints
from research.training.learner import Learner, Settings, alone_in, digest_of_networks, run
from research.training.mixing import Augmentation
from research.training.narrowing import narrow
from research.training.network import estimate, ratio_masks, unet_of, weights_of
from research.training.pieces import MARGIN, SPECTRA, STEPS, Piece, Pieces, Teacher
from research.training.tracks import Track, digest_of
from research.training.train import Say
from research.training.windows import Window
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.spleeter.unet import UNet

FLOOR, SOFTEST = 0.003, 0.03
"""Of an error's power against the mixture's, and of its magnitude: see `train.FLOOR`. The student
is to come nearer to its teacher than any network to true stems."""
WINDOWS = (
    (Window(64, mirror=8, A=1, rows=24, precision="mixed"), 4),
    (Window(64, A=8, rows=32, precision="mixed"), 4),
    (Window(128, mirror=8, A=1, rows=32, precision="mixed"), 2),
    (Window(128, A=8, rows=64, precision="mixed"), 2),
)
"""As `live` and `balanced` have them, but for more rows that count: what those with more of a
future are told holds the others."""
SETTINGS = Settings(steps=100_000, rate=3e-4, windows=WINDOWS, averaged=0.999)
MUSIC = Augmentation(
    together=0, balance=0, sung=0.85, silent=0.05, driven=0, equalised=0.5, reverberant=0.15,
    recorded=0.4,
)  # fmt: skip
FIRST_PIECES, STEPS_EACH, MOST_PIECES = 64, 8, 1500
"""How many pieces there are to begin with, after how many steps there is another one, and how many
there will be: 3 MB each."""
NARROWED_BY, NARROWED_AT = 64, (96, 288)
"""Pieces by which filters are chosen, and where in each a window of 128 spectra begins."""
START = "start.pt"
"""The student as it began."""
SUNG = 0.02
"""Power of the vocals against the mixture's from which on somebody sings."""
CHECKED = 32
"""Pieces that make the curve; nothing is learnt from them."""
CURVES = {"live": WINDOWS[0][0], "balanced": WINDOWS[1][0]}
"""What makes the curve."""

Estimate: TypeAlias = Callable[[Tensor, GraphSpec], Tensor]
"""Takes what is seen, and the graph in whose arithmetic; returns the estimates of both stems."""


class Crops:
    """Excerpts of pieces, drawn by the number of the step.

    Parameters
    ----------
    pieces : Pieces
    settings : Settings
    """

    def __init__(self, pieces: Pieces, settings: Settings) -> None:
        self._pieces, self._settings = pieces, settings

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return what is heard in a step, and the vocals' masks of it.

        Returns
        -------
        heard, masks : float32 [shape=(size, channels, spectra, model_bins)]
        """
        window, size = self._settings.batch_at(step)
        rng = np.random.default_rng([self._settings.seed, step])
        there = min(FIRST_PIECES + step // STEPS_EACH, MOST_PIECES)
        chosen = [self._pieces.get(CHECKED + int(n)) for n in rng.integers(there, size=size)]
        starts = rng.integers(MARGIN, SPECTRA - MARGIN - window.heard + 1, size=size)
        crops = [crop(p, int(at), window.heard) for p, at in zip(chosen, starts, strict=True)]
        heard, masks = (torch.stack(each) for each in zip(*crops, strict=True))
        return heard, masks


def crop(piece: Piece, at: int, spectra: int) -> tuple[Tensor, Tensor]:
    """Return magnitudes and masks of an excerpt [shape=(channels, spectra, model_bins)]."""
    rows = slice(at, at + spectra)
    heard = np.asarray(piece.magnitudes[:, rows], np.float32)
    mask = np.asarray(piece.mask[:, rows], np.float32) / STEPS
    return torch.from_numpy(heard), torch.from_numpy(mask)


def loss_of(heard: Tensor, masks: Tensor, estimates: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss of the masked mixture, and how near it is to the teacher's.

    What is missing in the vocals is too much in the accompaniment, so one of them is enough.

    Parameters
    ----------
    heard, masks : float32 [shape=(batch, channels, spectra, bins)]
    estimates : float32 [shape=(batch, 2, channels, spectra, bins)]

    Returns
    -------
    loss : float32 []
    likeness : float32 [shape=(2, batch)]
        Power of the teacher's vocals, and of the student's error.
    """
    wrong = heard * (ratio_masks(estimates)[:, 0] - masks)
    error, loudness = (x.square().sum((1, 2, 3)) for x in (wrong, heard))
    softer = wrong.abs().sum((1, 2, 3)) / (heard.sum((1, 2, 3)) + 1e-3)
    each = torch.log10(error / (loudness + 1e-6) + FLOOR) + torch.log10(softer + SOFTEST)
    vocals = (heard * masks).square().sum((1, 2, 3))
    return each.mean(), torch.stack([vocals, error]).detach()


def teach(
    folder: Path,
    name: str,
    tracks: Sequence[Track],
    networks: Mapping[str, UNet],
    settings: Settings = SETTINGS,
    augmentation: Augmentation = MUSIC,
    every: int = 250,
    say: Say = print,
) -> Learner:
    """Teach, or go on teaching.

    Parameters
    ----------
    folder : Path
        Of the tracks' files, pieces and runs.
    name : str
        Of the run.
    tracks : sequence of Track
    networks : mapping of str to UNet
        The teacher's, vocals and accompaniment.
    settings : Settings
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
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    place = folder / "runs" / name
    about = {
        "material": digest_of(tracks),
        "teacher": digest_of_networks(networks),
        "augmentation": str(augmentation),
        "loss": f"floor {FLOOR:g}, softest {SOFTEST:g}",
        "pieces": f"{FIRST_PIECES}, {STEPS_EACH}, {MOST_PIECES}",
    }
    with alone_in(place):
        pieces = Pieces(folder, tracks, augmentation, Teacher(networks), settings.seed)
        begun = begin(place, networks, pieces, say)
        student = Learner(place, settings, begun, tuple(begun), about, threads=1)
        if not student.curve:
            say(f"the full networks: {measure(both(networks), pieces)}")
        crops = Crops(pieces, settings)

        def learn(step: int) -> float:
            window, _ = settings.batch_at(step)
            heard, masks = crops.batch(step)

            def loss(estimates: Tensor) -> Tensor:
                told = window.counted(heard), window.counted(masks), window.counted(estimates)
                return loss_of(*told)[0]

            return student.learn(window.seen(heard), window.graph, loss)

        run(
            student,
            iter(range(student.step, settings.steps)),
            learn,
            lambda: measure(student.estimate, pieces),
            every,
            say,
        )
        return student


def begin(
    place: Path, networks: Mapping[str, UNet], pieces: Pieces, say: Say = print
) -> dict[str, UNet]:
    """Return the networks that a run begins with, made once."""
    if not (place / START).exists():
        say("choosing the filters that stay; some minutes")
        heard = [
            crop(pieces.get(CHECKED + n), at, 128)[0]
            for n in range(NARROWED_BY)
            for at in NARROWED_AT
        ]
        begun = narrow(networks, torch.stack(heard))
        checkpoints.save(place / START, {stem: weights_of(unet) for stem, unet in begun.items()})
    state = checkpoints.load(place / START)
    return {
        stem: unet_of(stem, networks[stem].activations, weights) for stem, weights in state.items()
    }


def measure(of: Estimate, pieces: Pieces) -> dict[str, Any]:
    """Return the loss on the pieces that are held out, and how near their vocals are, in dB."""
    found = {name: compare(of, pieces, window) for name, window in CURVES.items()}
    losses = {name: round(loss, 4) for name, (loss, _) in found.items()}
    return {"validation": losses, **{name: round(db, 3) for name, (_, db) in found.items()}}


def compare(of: Estimate, pieces: Pieces, window: Window) -> tuple[float, float]:
    """Compare one window of each piece with what its teacher made of it.

    Returns
    -------
    loss, likeness_db : float
        The mean over all pieces, and over those with a singer.
    """
    losses, each = [], []
    for number in range(CHECKED):
        heard, masks = (x[None] for x in crop(pieces.get(number), MARGIN + 100, window.heard))
        estimates = of(window.seen(heard), window.graph)
        told = window.counted(heard), window.counted(masks), window.counted(estimates)
        loss, (vocals, error) = loss_of(*told)
        losses.append(float(loss))
        if vocals > SUNG * told[0].square().sum():
            each.append(float(10 * torch.log10(vocals / (error + 1e-9))))
    return float(np.mean(losses)), float(np.mean(each))


def both(networks: Mapping[str, UNet]) -> Estimate:
    """Return the estimates of networks as they are."""
    weights = [(weights_of(unet), unet.activations) for unet in networks.values()]

    def of(seen: Tensor, graph: GraphSpec) -> Tensor:
        with torch.no_grad():
            return torch.stack([estimate(*each, seen, graph) for each in weights], 1)

    return of
