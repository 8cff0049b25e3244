"""Networks that learn together, and whose state survives whatever happens to the program."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch
from torch import Tensor

from research.training import checkpoints
from research.training.errors import TrainingError
from research.training.network import estimate, weights_of
from research.training.rounding import Weights
from research.training.windows import Window
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.spleeter.architecture import Activations
from stemd.tflite_models.spleeter.unet import UNet

CHECKPOINT = "checkpoint.pt"
STEADY = "steady.pt"
"""The state before the rate of learning falls, from where a longer run goes on."""
CURVE = "curve.jsonl"
"""The curve again, for whoever looks on."""
LOCK = "lock"
"""Held by the program that goes on with the run."""
THREADS = 2
"""As many as halves of a batch; with more, a run would not be the same to the last digit."""
WARM_UP = 200
"""Steps until the rate of learning is at its highest."""


Given = TypeVar("Given")

WINDOWS = (
    (Window(64), 4),
    (Window(128), 2),
    # About as little future as `balanced` and `live` have, computed as they may be.
    (Window(64, A=4, rows=32, precision="mixed"), 4),
    (Window(64, mirror=8, rows=24, precision="int8"), 4),
)


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
    windows : tuple of (Window, size)
        What is seen of how many mixtures in a batch, and how it is computed, in turns.
    averaged : float
        How much of the average of the weights stays at each step.
    clip : float
        Longest gradient.
    """

    seed: int = 7
    steps: int = 8000
    rate: float = 3e-4
    windows: tuple[tuple[Window, int], ...] = WINDOWS
    averaged: float = 0.998
    clip: float = 1.0

    def batch_at(self, step: int) -> tuple[Window, int]:
        """Return the window and the size of a step's batch."""
        return self.windows[step % len(self.windows)]

    @property
    def level_steps(self) -> int:
        """After how many the rate of learning begins to fall."""
        return int(0.75 * self.steps)

    def rate_at(self, step: int) -> float:
        """Return the rate of learning: up, level for long, down to nothing."""
        up = min((step + 1) / WARM_UP, 1)
        down = min((self.steps - step) / (self.steps - self.level_steps), 1)
        return self.rate * min(up, down)


class Learner:
    """Networks of one architecture, some of which learn: made anew, or resumed where they were.

    Parameters
    ----------
    folder : Path
        Holds the checkpoint.
    settings : Settings
    networks : mapping of str to UNet
        All of them, by stem, in the order of the estimates.
    learning : sequence of str
        The stems whose networks learn.
    lesson : mapping of str to str
        What else determines the run, by what it is called.
    threads : int
        As many as parts of a batch.

    Attributes
    ----------
    step : int
        How many were taken.
    weights, average : dict
        Of the networks that learn, by stem: as they are, and on the average of the last steps.
    curve : list of dict
        What was measured, by `run`.

    Raises
    ------
    TrainingError
        The folder holds another run, or one that cannot be made so long.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        networks: Mapping[str, UNet],
        learning: Sequence[str],
        lesson: Mapping[str, str],
        threads: int = THREADS,
    ) -> None:
        self.folder, self.settings = folder, settings
        self._about = {"networks": digest_of_networks(networks), **lesson}
        self.stems = tuple(networks)
        self.activations: Activations = networks[self.stems[0]].activations
        self.fixed = {s: weights_of(unet) for s, unet in networks.items() if s not in learning}
        self.average = {stem: weights_of(networks[stem]) for stem in learning}
        self.weights = {
            stem: {name: weight.clone().requires_grad_() for name, weight in weights.items()}
            for stem, weights in self.average.items()
        }
        self.step = 0
        self.curve: list[dict[str, Any]] = []
        self._optimizer = torch.optim.Adam(_all(self.weights), settings.rate, fused=True)
        self._parts, self._threads = threads, ThreadPoolExecutor(threads)
        if (folder / CHECKPOINT).exists():
            self._resume()

    def learn(
        self, magnitudes: Tensor, graph: GraphSpec, loss_of: Callable[[Tensor], Tensor]
    ) -> float:
        """Take one step.

        Parameters
        ----------
        magnitudes : float32 [shape=(batch, channels, spectra, bins)]
        graph : GraphSpec
            In whose arithmetic; only rows that it emits may count in the loss.
        loss_of : callable
            Takes the estimates [shape=(batch, stems, channels, spectra, bins)].

        Returns
        -------
        float
            The loss before it.

        Raises
        ------
        TrainingError
            The gradient is not finite; nothing has changed.
        """
        halves = magnitudes.chunk(self._parts)
        weights = [_own_leaves(self.weights) for _ in halves]
        jobs = {
            (stem, n): self._threads.submit(self._estimate, each, half, graph, stem in self.weights)
            for n, half in enumerate(halves)
            for stem, each in self._networks(weights[n]).items()
        }
        parts = {key: job.result() for key, job in jobs.items()}
        # The loss by itself, so that the networks' gradients can be worked out side by side.
        leaves = {key: part.detach().requires_grad_() for key, part in parts.items()}
        whole = [torch.cat([leaves[stem, n] for n in range(len(halves))]) for stem in self.stems]
        loss = loss_of(torch.stack(whole, 1))
        loss.backward()
        backward = [
            self._threads.submit(part.backward, leaves[key].grad)
            for key, part in parts.items()
            if key[0] in self.weights
        ]
        for job in backward:
            job.result()
        self._add_gradients(weights)
        self._descend()
        return float(loss.detach())

    def estimate(self, magnitudes: Tensor, graph: GraphSpec) -> Tensor:
        """Return all estimates of the averaged networks [shape=(batch, stems, …)], as `learn`."""
        jobs = [
            self._threads.submit(self._estimate, weights, magnitudes, graph, False)
            for weights in self._networks(self.average).values()
        ]
        return torch.stack([job.result() for job in jobs], 1)

    def save(self, name: str = CHECKPOINT) -> None:
        """Keep everything that the next step needs."""
        state = {
            "step": self.step,
            "settings": json.dumps(asdict(self.settings)),
            "about": self._about,
            "curve": self.curve,
            "weights": {
                s: {n: w.detach() for n, w in ws.items()} for s, ws in self.weights.items()
            },
            "average": self.average,
            "optimizer": self._optimizer.state_dict(),
        }
        checkpoints.save(self.folder / name, state)

    def _resume(self) -> None:
        state = checkpoints.load(self.folder / CHECKPOINT)
        kept, wanted = ({**each, "steps": 0} for each in (_settings_in(state), self._settings()))
        for name in wanted | kept:
            if kept.get(name) != wanted.get(name):
                self._refuse(f"with {name} {kept.get(name)}, not {wanted.get(name)}")
        kept_about = state.get("about", {})
        others = [name for name, of in self._about.items() if kept_about.get(name) != of]
        if others:
            self._refuse(f"with other {' and '.join(others)}")
        state = self._from_where_it_can_go_on(state)
        self.step, self.curve = state["step"], state["curve"]
        for mine, its in ((self.weights, state["weights"]), (self.average, state["average"])):
            for stem, weights in mine.items():
                for name, weight in weights.items():
                    weight.data.copy_(its[stem][name])
        self._optimizer.load_state_dict(state["optimizer"])

    def _from_where_it_can_go_on(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return the last state whose steps a run of another length would have taken, too."""
        before = Settings(steps=_settings_in(state)["steps"])
        if before.steps == self.settings.steps:
            return state
        if state["step"] > before.level_steps:
            state = checkpoints.load(self.folder / STEADY)
        if state["step"] > self.settings.level_steps:
            raise TrainingError(
                f"{self.folder} has taken {state['step']} steps at the full rate of learning, and "
                f"a run of {self.settings.steps} takes {self.settings.level_steps}: ask for more "
                "(--steps)"
            )
        return state

    def _settings(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(json.dumps(asdict(self.settings)))
        return told

    def _refuse(self, reason: str) -> NoReturn:
        raise TrainingError(
            f"{self.folder} holds a run {reason}; go on with it as it began, name another run "
            "(--run), or remove that one"
        )

    def _networks(self, learning: Mapping[str, Weights]) -> dict[str, Weights]:
        return {stem: learning.get(stem) or self.fixed[stem] for stem in self.stems}

    def _estimate(
        self, weights: Weights, magnitudes: Tensor, graph: GraphSpec, learning: bool
    ) -> Tensor:
        torch.set_num_threads(1)  # of each of our own
        with torch.set_grad_enabled(learning):
            return estimate(weights, self.activations, magnitudes, graph)

    def _add_gradients(self, halves: Sequence[Mapping[str, Weights]]) -> None:
        for weight, *leaves in zip(_all(self.weights), *map(_all, halves), strict=True):
            weight.grad = torch.stack([leaf.grad for leaf in leaves]).sum(0)

    def _descend(self) -> None:
        weights = _all(self.weights)
        length = torch.nn.utils.clip_grad_norm_(weights, self.settings.clip, foreach=True)
        if not length.isfinite():
            raise TrainingError(
                f"the gradient of step {self.step} in {self.folder} is not finite: look for a "
                "track that is not as it should be, or learn more slowly in another run (--rate, "
                "--run)"
            )
        for group in self._optimizer.param_groups:
            group["lr"] = self.settings.rate_at(self.step)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.step += 1
        kept = min(self.settings.averaged, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(_all(self.average), [w.detach() for w in weights], 1 - kept)


def run(
    learner: Learner,
    batches: Iterable[Given],
    learn: Callable[[Given], float],
    measure: Callable[[], dict[str, Any]],
    every: int,
    say: Callable[[str], None],
) -> None:
    """Take a step for each batch; measure and save the state now and then, and at the end.

    Parameters
    ----------
    learner : Learner
    batches : iterable
    learn : callable
        Takes a step with a batch, and gives the loss.
    measure : callable
        Gives what goes into the curve, with the step and the mean loss since the last time.
    every : int
        Steps between saves.
    say : callable
        Is told how it goes.
    """

    def measured(loss: float | None) -> None:
        learner.curve.append({"step": learner.step, "loss": loss, **measure()})
        learner.save()
        lines = [json.dumps(point) for point in learner.curve]
        (learner.folder / CURVE).write_text("".join(f"{line}\n" for line in lines))
        say(lines[-1])

    if not learner.curve:
        measured(None)
    losses: list[float] = []
    started = time.monotonic()
    for batch in batches:
        if learner.step == learner.settings.level_steps:
            learner.save(STEADY)
        losses.append(learn(batch))
        if learner.step % every == 0 or learner.step == learner.settings.steps:
            pace_s = (time.monotonic() - started) / len(losses)
            say(f"{learner.step} of {learner.settings.steps} steps, {pace_s:.2f} s each")
            measured(float(np.mean(losses)))
            losses, started = [], time.monotonic()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder of a run, from before its state is read until after it is written.

    Raises
    ------
    TrainingError
        Another program goes on with the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(
                f"another program goes on with the run in {folder}: wait for its end, or name "
                "another run (--run)"
            ) from None
        yield


def _own_leaves(networks: Mapping[str, Weights]) -> dict[str, Weights]:
    """Return the same memory as tensors of their own, whose gradients one thread gathers.

    Two threads must not share a leaf: while one that indexes it keeps the interpreter's lock and
    waits for the leaf's, another one that adds to it may keep that and wait for the interpreter's.
    """
    return {
        stem: {name: weight.data.requires_grad_() for name, weight in weights.items()}
        for stem, weights in networks.items()
    }


def _settings_in(state: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(state["settings"])
    return told


def digest_of_networks(networks: Mapping[str, UNet]) -> str:
    """Return a checksum of networks."""
    digest = sha256()
    for stem, unet in networks.items():
        digest.update(f"{stem} {unet.activations}".encode())
        for name, array in unet.tensors().items():
            digest.update(name.encode() + array.tobytes())
    return digest.hexdigest()


def _all(networks: Mapping[str, Any]) -> list[Tensor]:
    return [weight for weights in networks.values() for weight in weights.values()]
