"""Ways to run the networks over the mixes, and the SDR of each.

Everything is done on whole arrays of spectra (`sliding`), with the program's transform, masks and
networks. The window moves B hops at a time and eight more of its rows are computed, so that one
run answers for every look-ahead up to eight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from research.material.mixes import Recipe, build_mix
from research.quality import sliding
from research.quality.measures import sdr_db
from research.quality.pool import Graphs, on_every_mix
from research.quality.short_windows import (
    WindowPair,
    asymmetric_pair,
    hann_pair,
    spectra_of,
    waveform_of,
)
from stemd.daemon.engine.networks import SETS
from stemd.dsp.arrays import Magnitudes, Waveform
from stemd.dsp.scheme import HOP_LENGTH, N_FFT, OFFLINE, Scheme
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.network import Network
from stemd.tflite_models.store.library import Library

FIRST, LAST = 172, 172 + 512
"""Hops of each mix that are scored, twelve seconds from its fifth on.

It is separated from its start on: every window that reaches them is full of music, the longest too.
"""
EXCERPT = slice(FIRST * HOP_LENGTH, LAST * HOP_LENGTH)
SETTLING = 32
"""Spectra before them that are computed too, for what filters from one mask to the next."""
OVERLAP = N_FFT // HOP_LENGTH
LOOK_AHEAD = 8
"""Spectra; the largest A."""
LOOK_AHEADS = (0, 1, 2, 4, 8)
SMOOTHINGS = (0.2, 0.4, 0.6)
SHORT = (2048, 1024)
"""Lengths of the shorter synthesis windows."""

CONTINUATIONS: dict[str, sliding.Continuation] = {
    "mirror": sliding.mirror,
    "repeat forwards": sliding.repeat,
    "mean of the newest 4": sliding.mean,
    "hold the newest": sliding.hold,
    "fade the newest, 1.5 dB a hop": sliding.decay,
    "linear prediction, order 2": sliding.linear_prediction,
    "zeros": sliding.zeros,
}


@dataclass(frozen=True)
class Run:
    """One way to feed the networks; its estimates answer for every look-ahead.

    Attributes
    ----------
    T, B : int
        As in `Scheme`.
    continued : int
        Rows of the window that are not heard.
    continuation : str
        How they are filled, of `CONTINUATIONS`.
    window : int
        Length of the synthesis window whose analysis window the networks see through.
    """

    T: int
    B: int
    continued: int = 0
    continuation: str = "mirror"
    window: int = N_FFT

    @property
    def rows(self) -> int:
        """Rows that the networks compute."""
        return min(self.B + LOOK_AHEAD, self.T - self.continued)

    @property
    def look_aheads(self) -> list[int]:
        """The A that the rows suffice for."""
        return [A for A in LOOK_AHEADS if self.rows >= A + self.B]

    @property
    def spec(self) -> GraphSpec:
        """What the graphs are compiled for."""
        return GraphSpec(T=self.T, B=self.rows, A=0, mirror=self.continued)


WHOLE = Run(OFFLINE.T, OFFLINE.B)
BASE = Run(64, 2, 8)
"""What the variants after the network are tried on."""

Scores: TypeAlias = dict[tuple[object, ...], float]
"""SDR in dB of one run on one mix, by variant."""


def score(run: Run, recipe: Recipe, graphs: Graphs) -> Scores:
    """Run the networks over a mix, and score every variant that the run answers for."""
    x, spectra, truth = _excerpt(recipe, run.B)
    estimates = sliding.estimate_blocks(
        _seen(x, spectra, run.window),
        [Network(path) for path in graphs.values()],
        (run.T, run.B, run.continued),
        run.rows,
        CONTINUATIONS[run.continuation],
        FIRST - SETTLING,
    )

    def sdr(vocals: Waveform) -> float:
        return sdr_db(truth, vocals[:, EXCERPT])

    def masks_of(A: int, count: int = 1) -> NDArray[np.float32]:
        return sliding.masks_of(averaged(estimates, run.B, A, count, len(spectra)))

    scores: Scores = {}
    for A in run.look_aheads:
        for count in range(1, A // run.B + 2) if run == BASE else {1, A // run.B + 1}:
            scores["mean of", count, A] = sdr(sliding.synthesise(spectra * masks_of(A, count)))
    if run == BASE:
        for A, share in product((0, 2), SMOOTHINGS):
            vocals = sliding.synthesise(spectra * smoothed(masks_of(A), share))
            scores["smoothed", A, share] = sdr(vocals)
    if run in (BASE, WHOLE) or run.window != N_FFT:
        for length, A, ahead in product(SHORT, (0, 2) if run == BASE else (0,), (0, 1)):
            pair = asymmetric_pair(length)
            shaped = spectra_of(x, pair)
            due = at_times(masks_of(A), pair, len(shaped), ahead)
            scores["short", length, A, ahead] = sdr(waveform_of(shaped * due, pair))
    if run.window != N_FFT:
        trained, other = (_seen(x, spectra, window)[FIRST:LAST] for window in (N_FFT, run.window))
        scores["input",] = sdr_db(trained, other)
    return scores


def score_scheme(scheme: Scheme, recipe: Recipe, graphs: Graphs) -> float:
    """Run graphs that are compiled for a scheme over a mix, and score what it emits."""
    _, spectra, truth = _excerpt(recipe, scheme.B)
    emitted = sliding.emitted_by(graphs.values(), spectra, scheme, FIRST - SETTLING)
    vocals = sliding.synthesise(spectra * sliding.masks_of(emitted))
    return sdr_db(truth, vocals[:, EXCERPT])


def _excerpt(recipe: Recipe, B: int) -> tuple[Waveform, NDArray[np.complex64], Waveform]:
    """Return a mix from its start to the block that ends the excerpt, and the excerpt's vocals.

    Returns
    -------
    mixture : float32 [shape=(CHANNELS, frames)]
    spectra : complex64 [shape=(hops, CHANNELS, N_BINS)]
    vocals : float32 [shape=(CHANNELS, frames)]
        Of the excerpt only.
    """
    mix = build_mix(recipe)
    hops = -(-(LAST + OVERLAP + LOOK_AHEAD) // B) * B
    x = mix.mixture[:, : hops * HOP_LENGTH]
    return x, sliding.analyse(x), mix.vocals[:, EXCERPT]


def averaged(
    estimates: sliding.Estimates,
    B: int,
    A: int,
    count: int,
    spectra: int,
) -> Magnitudes:
    """Return `at_look_ahead`, averaged with the estimates of the same spectra in earlier blocks.

    Those looked ahead B less, 2 B less, and so on; ``(count - 1) * B`` is at most A.
    """
    total = sliding.at_look_ahead(estimates, B, A, spectra).copy()
    for n in range(1, count):
        earlier = sliding.at_look_ahead(estimates, B, A - n * B, spectra)
        total += earlier
    return np.asarray(total / count, np.float32)


def smoothed(masks: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Return masks to which each mask before has ``share`` [shape=(spectra, channels, bins)]."""
    out = masks.copy()
    for n in range(1, len(out)):
        out[n] = (1 - share) * masks[n] + share * out[n - 1]
    return out


def at_times(
    masks: NDArray[np.float32], pair: WindowPair, count: int, ahead: int
) -> NDArray[np.float32]:
    """Return the mask for each spectrum of a pair, the newest that is known, and ``ahead`` more."""
    per_hop = HOP_LENGTH // pair.hop
    newest = (np.arange(count) + 1) // per_hop - 1 + ahead
    return masks[np.clip(newest, 0, len(masks) - 1)]


def _seen(x: Waveform, spectra: NDArray[np.complex64], window: int) -> Magnitudes:
    """Return the magnitudes that the networks see through a pair's analysis window."""
    if window == N_FFT:
        return sliding.magnitudes_of(spectra)
    pair = asymmetric_pair(window)
    level = np.sqrt(np.sum(hann_pair().analysis ** 2) / np.sum(pair.analysis**2))
    per_hop = HOP_LENGTH // pair.hop
    magnitudes = sliding.magnitudes_of(spectra_of(x, pair)[per_hop - 1 :: per_hop])
    return np.asarray(magnitudes * level, np.float32)


@dataclass(frozen=True)
class Results:
    """Scores of every run on every mix."""

    scores: dict[Run, list[Scores]]

    def __call__(self, run: Run, *variant: object) -> float:
        """Return the mean over the mixes."""
        return float(np.mean([each[variant] for each in self.scores[run]]))

    @property
    def offline(self) -> float:
        """What the whole song at once gives."""
        return self(WHOLE, "mean of", 1, 0)

    def cell(self, run: Run, *variant: object) -> str:
        """Return the difference from offline."""
        return f"{self(run, *variant) - self.offline:+.2f}"

    def worst(self, run: Run, *variant: object) -> str:
        """Return the difference from offline of the mix where it is worst."""
        pairs = zip(self.scores[run], self.scores[WHOLE], strict=True)
        return f"{min(each[variant] - best['mean of', 1, 0] for each, best in pairs):+.2f}"


def measure(runs: Sequence[Run], recipes: Sequence[Recipe]) -> Results:
    """Do the runs on every mix."""
    with TemporaryDirectory() as folder:
        # Not by way of the user's cache: it keeps few of them, and others use it too.
        jobs = (
            (run, Library().export(SETS[2], run.spec, Path(folder) / str(run.spec))) for run in runs
        )
        scores = on_every_mix(score, jobs, recipes, len(runs))
    return Results(dict(zip(runs, scores, strict=True)))
