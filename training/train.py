"""Fine-tunes networks for drums, bass and other, all at once, through the masks they share.

What is learnt is what is heard: the error of each stem's masked mixture, in decibels, with the
vocals' network as it is. Every network sees what the others estimate; a bin that none of them
claims would go to the vocals.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stemd.dsp.scheme import HOP_LENGTH, N_FFT
from stemd.tflite_models.library import Library
from stemd.tflite_models.model_reader import read_weights
from stemd.tflite_models.unet import Activations, UNet
from training import checkpoints
from training.mixing import Batch, Mixer
from training.network import analyse, estimate, ratio_masks, weights_of
from training.tracks import STEMS, Track

LEARNING = STEMS[1:]
FLOOR = 1e-3
"""Of an error's power against the mixture's: what is 30 dB below it is good enough."""
VALIDATION_BATCHES = 12
VALIDATION_SEED = 1
AHEAD = 4
"""Batches made before they are needed."""


@dataclass(frozen=True)
class Settings:
    """What determines a run besides its material.

    Attributes
    ----------
    seed : int
    steps : int
        The last quarter of them at a falling rate of learning.
    rate : float
        Of learning, at its highest.
    windows : tuple of (T, size)
        Spectra and mixtures in a batch, in turns.
    averaged : float
        How much of the average of the weights stays at each step.
    clip : float
        Longest gradient.
    """

    seed: int = 7
    steps: int = 8000
    rate: float = 3e-4
    windows: tuple[tuple[int, int], ...] = ((64, 4), (128, 2))
    averaged: float = 0.998
    clip: float = 1.0

    def rate_at(self, step: int) -> float:
        """Give the rate of learning: up, level for long, down to nothing."""
        up = min((step + 1) / 200, 1)
        down = min((self.steps - step) / (0.25 * self.steps), 1)
        return self.rate * min(up, down)


def loss_of(stems: Tensor, estimates: Tensor) -> tuple[Tensor, Tensor]:
    """Tell how wrong the masked mixture is.

    Parameters
    ----------
    stems : complex64 [shape=(batch, stems, channels, spectra, bins)]
    estimates : float32 [same shape]

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
    absolute = (masked.abs() - stems.abs()).abs().sum((2, 3, 4)) / (
        mixture.abs().sum((2, 3, 4)) + 1e-3
    )
    loss = torch.log10(error / loudness + FLOOR).mean() + torch.log10(absolute + FLOOR).mean()
    own = _power(stems)
    heard = own > 1e-3 * loudness
    sdr_db = torch.where(heard, 10 * torch.log10(own / (error + 1e-9)), torch.nan)
    return loss, sdr_db.detach()


def _power(x: Tensor) -> Tensor:
    return (x.real.square() + x.imag.square()).sum((2, 3, 4))


@dataclass(frozen=True)
class Start:
    """What the training starts from: two networks of one architecture.

    Attributes
    ----------
    vocals : UNet
        It stays as it is.
    accompaniment : UNet
        All others begin as its likeness.
    """

    vocals: UNet
    accompaniment: UNet

    @classmethod
    def bundled(cls) -> Start:
        """Give Deezer's, as they come with the program."""
        paths = Library().find("2stems").paths
        return cls(*(read_weights(paths[stem])[0] for stem in ("vocals", "accompaniment")))


class Run:
    """A run of the training: made anew, or resumed where it was."""

    def __init__(self, folder: Path, settings: Settings, networks: Start) -> None:
        self.folder, self.settings = folder, settings
        vocals, start = networks.vocals, networks.accompaniment
        self.activations: Activations = start.activations
        self.vocals = weights_of(vocals)
        self.weights = {
            stem: {name: weight.requires_grad_() for name, weight in weights_of(start).items()}
            for stem in LEARNING
        }
        self.average = {stem: weights_of(start) for stem in LEARNING}
        self.optimizer = torch.optim.Adam(self._parameters(), settings.rate, fused=True)
        self.step = 0
        self._threads = ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,))
        if (folder / "checkpoint.pt").exists():
            self._resume()

    def _parameters(self) -> list[Tensor]:
        return [weight for weights in self.weights.values() for weight in weights.values()]

    def _averages(self) -> list[Tensor]:
        return [weight for weights in self.average.values() for weight in weights.values()]

    def _resume(self) -> None:
        state = checkpoints.load(self.folder / "checkpoint.pt")
        kept, wanted = json.loads(state["settings"]), json.loads(json.dumps(asdict(self.settings)))
        if {**kept, "steps": 0} != {**wanted, "steps": 0}:
            raise SystemExit(
                f"training: {self.folder} holds a run with {kept}, not with {wanted}; "
                "name another folder, or remove it"
            )
        self.step = state["step"]
        for mine, kept_weights in (
            (self.weights, state["weights"]),
            (self.average, state["average"]),
        ):
            for stem, weights in mine.items():
                for name, weight in weights.items():
                    weight.data.copy_(kept_weights[stem][name])
        self.optimizer.load_state_dict(state["optimizer"])

    def save(self, name: str = "checkpoint.pt") -> None:
        """Keep everything that the next step needs."""
        state = {
            "step": self.step,
            "settings": json.dumps(asdict(self.settings)),
            "weights": {
                stem: {n: w.detach() for n, w in ws.items()} for stem, ws in self.weights.items()
            },
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }
        checkpoints.save(self.folder / name, state)

    def learn(self, waveforms: Batch) -> tuple[float, Tensor]:
        """Take one step; gives the loss, and each stem's SDR in decibels."""
        stems = analyse(torch.from_numpy(waveforms))
        magnitudes = stems.sum(1).abs()
        halves = magnitudes.chunk(2)
        networks = {"vocals": self.vocals, **self.weights}
        jobs = {
            (stem, n): self._threads.submit(
                _estimate, weights, self.activations, half, stem in LEARNING
            )
            for stem, weights in networks.items()
            for n, half in enumerate(halves)
        }
        parts = {key: job.result() for key, job in jobs.items()}
        # The loss by itself, so that the networks' gradients can be worked out side by side.
        leaves = {key: part.detach().requires_grad_() for key, part in parts.items()}
        estimates = torch.stack(
            [torch.cat([leaves[stem, n] for n in range(len(halves))]) for stem in STEMS], 1
        )
        loss, sdr_db = loss_of(stems, estimates)
        loss.backward()
        backward = [
            self._threads.submit(part.backward, leaves[key].grad)
            for key, part in parts.items()
            if key[0] in LEARNING
        ]
        for job in backward:
            job.result()
        torch.nn.utils.clip_grad_norm_(self._parameters(), self.settings.clip, foreach=True)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate_at(self.step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        kept = min(self.settings.averaged, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(
                self._averages(), [w.detach() for w in self._parameters()], 1 - kept
            )
        return float(loss.detach()), sdr_db

    def validate(self, batches: Sequence[Batch]) -> tuple[float, list[float]]:
        """Give the loss, and the mean SDR of each stem, of the averaged weights."""
        networks = {"vocals": self.vocals, **self.average}
        losses, ratios = [], []
        for waveforms in batches:
            stems = analyse(torch.from_numpy(waveforms))
            magnitudes = stems.sum(1).abs()
            jobs = [
                self._threads.submit(_estimate, networks[stem], self.activations, magnitudes, False)
                for stem in STEMS
            ]
            loss, sdr_db = loss_of(stems, torch.stack([job.result() for job in jobs], 1))
            losses.append(float(loss))
            ratios.append(sdr_db)
        means = torch.cat(ratios).nanmean(0)
        return float(np.mean(losses)), [round(float(value), 3) for value in means]


def _estimate(weights: Any, activations: Activations, magnitudes: Tensor, learning: bool) -> Tensor:
    with torch.set_grad_enabled(learning):
        return estimate(weights, activations, magnitudes)


_mixers: dict[str, Mixer] = {}


def _prepare(folder: Path, tracks: list[Track], seed: int) -> None:
    torch.set_num_threads(1)
    _mixers["train"] = Mixer(folder, tracks, seed)


def _batch(settings: Settings, number: int) -> Batch:
    T, size = settings.windows[number % len(settings.windows)]
    return _mixers["train"].batch(number, size, frames_of(T))


def frames_of(T: int) -> int:
    """Give the frames that T spectra are made of."""
    return N_FFT + (T - 1) * HOP_LENGTH


def _batches(folder: Path, tracks: list[Track], settings: Settings, first: int) -> Iterator[Batch]:
    """Give the batches from a step on, made by another process."""
    with ProcessPoolExecutor(
        1, get_context("spawn"), _prepare, (folder, tracks, settings.seed)
    ) as process:
        pending: list[Future[Any]] = [
            process.submit(_batch, settings, first + n) for n in range(AHEAD)
        ]
        for number in range(first, settings.steps):
            pending.append(process.submit(_batch, settings, number + AHEAD))
            yield pending.pop(0).result()
        for job in pending:
            job.cancel()


def train(
    material: Path,
    folder: Path,
    tracks: Sequence[Track],
    settings: Settings,
    networks: Start,
    every: int = 500,
    say: Callable[[str], None] = print,
) -> Run:
    """Train, or go on training; the curve goes into ``curve.jsonl``.

    Parameters
    ----------
    material : Path
        Where the tracks' files are.
    folder : Path
        Of the run.
    tracks : sequence of Track
    settings : Settings
    networks : Start
    every : int
        Steps between checkpoints.
    say : callable
        Is told how it goes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    run = Run(folder, settings, networks)
    heard = [track for track in tracks if track.split == "train"]
    checked = [track for track in tracks if track.split == "validation" or track.stem == "vocals"]
    mixer = Mixer(material, checked, VALIDATION_SEED)
    validation = [mixer.batch(n, 4, frames_of(64)) for n in range(VALIDATION_BATCHES)]
    curve = _Curve(folder / "curve.jsonl", run.step)
    if run.step == 0:
        curve.add(run, *run.validate(validation), None, say)
    steady = round(0.75 * settings.steps)
    losses, started = [], time.monotonic()
    for waveforms in _batches(material, heard, settings, run.step):
        loss, _ = run.learn(waveforms)
        losses.append(loss)
        if run.step % 50 == 0:
            seconds = (time.monotonic() - started) / 50
            loss = float(np.mean(losses[-50:]))
            say(f"{run.step}/{settings.steps} loss {loss:.3f} {seconds:.2f} s a step")
            started = time.monotonic()
        if run.step % every == 0 or run.step == settings.steps:
            run.save()
            curve.add(run, *run.validate(validation), float(np.mean(losses)), say)
            losses, started = [], time.monotonic()
        if run.step == steady:
            run.save("steady.pt")  # a longer run can go on from here
    return run


class _Curve:
    """A line for each time that the run was measured; those after its checkpoint are forgotten."""

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        path.write_text("".join(f"{line}\n" for line in kept))

    def add(
        self,
        run: Run,
        loss: float,
        sdr_db: list[float],
        heard: float | None,
        say: Callable[[str], None],
    ) -> None:
        ratios = dict(zip(STEMS, sdr_db, strict=True))
        line = json.dumps({"step": run.step, "loss": heard, "validation": loss, "sdr_db": ratios})
        with self._path.open("a") as file:
            file.write(line + "\n")
        say(line)
