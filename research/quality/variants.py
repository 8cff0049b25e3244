"""Ways to run the networks over the mixes, and the SDR of each.

Everything is done on whole arrays of spectra (`sliding`), with the program's transform, masks and
networks. The window moves B hops at a time and eight more of its rows are computed, so that one
run answers for every look-ahead up to eight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from research.material.mixes import Recipe, build_mix
from research.quality import sliding
from research.quality.measures import sdr_db
from research.quality.pool import Graphs, on_every_mix
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import OFFLINE, SPLEETER, Scheme
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.network import Network
from stemd.tflite_models.store.library import Library

FIRST, LAST = 172, 172 + 512
"""Hops of each mix that are scored, twelve seconds from its fifth on.

It is separated from its start on: every window that reaches them is full of music, the longest too.
"""
EXCERPT = slice(FIRST * SPLEETER.hop_length, LAST * SPLEETER.hop_length)
SETTLING = 32
"""Spectra before them that are computed too: those whose synthesis overlaps the excerpt."""
OVERLAP = SPLEETER.overlap
LOOK_AHEAD = 8
"""Spectra; the largest A."""
LOOK_AHEADS = (0, 1, 2, 4, 8)


@dataclass(frozen=True)
class Run:
    """One way to feed the networks; its estimates answer for every look-ahead.

    Attributes
    ----------
    T, B, mirror : int
        As in `Scheme`.
    """

    T: int
    B: int
    mirror: int = 0

    @property
    def rows(self) -> int:
        """Rows that the networks compute."""
        return min(self.B + LOOK_AHEAD, self.T - self.mirror)

    @property
    def look_aheads(self) -> list[int]:
        """The A that the rows suffice for."""
        return [A for A in LOOK_AHEADS if self.rows >= A + self.B]

    @property
    def spec(self) -> GraphSpec:
        """What the graphs are compiled for."""
        return GraphSpec(T=self.T, B=self.rows, A=0, mirror=self.mirror)


WHOLE = Run(OFFLINE.T, OFFLINE.B)
Scores: TypeAlias = dict[int, float]
"""SDR in dB of one run on one mix, by look-ahead."""


def score(run: Run, recipe: Recipe, graphs: Graphs) -> Scores:
    """Run the networks over a mix, and score every look-ahead that the run answers for."""
    spectra, truth = _excerpt(recipe, run.B)
    estimates = sliding.estimate_blocks(
        sliding.magnitudes_of(spectra),
        [Network(path) for path in graphs.values()],
        (run.T, run.B, run.mirror),
        run.rows,
        FIRST - SETTLING,
    )

    def sdr(A: int) -> float:
        emitted = sliding.at_look_ahead(estimates, run.B, A, len(spectra))
        vocals = sliding.synthesise(spectra * sliding.masks_of(emitted))
        return sdr_db(truth, vocals[:, EXCERPT])

    return {A: sdr(A) for A in run.look_aheads}


def score_scheme(scheme: Scheme, recipe: Recipe, graphs: Graphs) -> float:
    """Run graphs that are compiled for a scheme over a mix, and score what it emits."""
    spectra, truth = _excerpt(recipe, scheme.B)
    emitted = sliding.emitted_by(graphs.values(), spectra, scheme, FIRST - SETTLING)
    vocals = sliding.synthesise(spectra * sliding.masks_of(emitted))
    return sdr_db(truth, vocals[:, EXCERPT])


def _excerpt(recipe: Recipe, B: int) -> tuple[NDArray[np.complex64], Waveform]:
    """Return a mix from its start to the block that ends the excerpt, and the excerpt's vocals.

    Returns
    -------
    spectra : complex64 [shape=(hops, CHANNELS, n_bins)]
    vocals : float32 [shape=(CHANNELS, frames)]
        Of the excerpt only.
    """
    mix = build_mix(recipe)
    hops = -(-(LAST + OVERLAP + LOOK_AHEAD) // B) * B
    x = mix.mixture[:, : hops * SPLEETER.hop_length]
    return sliding.analyse(x), mix.vocals[:, EXCERPT]


@dataclass(frozen=True)
class Results:
    """Scores of every run on every mix."""

    scores: dict[Run, list[Scores]]

    def __call__(self, run: Run, A: int) -> float:
        """Return the mean over the mixes."""
        return float(np.mean([each[A] for each in self.scores[run]]))

    def cell(self, run: Run, A: int) -> str:
        """Return the difference from offline."""
        return f"{self(run, A) - self(WHOLE, 0):+.2f}"

    def worst(self, run: Run, A: int) -> str:
        """Return the difference from offline of the mix where it is worst."""
        pairs = zip(self.scores[run], self.scores[WHOLE], strict=True)
        return f"{min(each[A] - best[0] for each, best in pairs):+.2f}"


def measure(runs: Sequence[Run], recipes: Sequence[Recipe]) -> Results:
    """Do the runs on every mix."""
    with TemporaryDirectory() as folder:
        # Not by way of the user's cache: it keeps few of them, and others use it too.
        jobs = (
            (run, Library().export("2stems", run.spec, Path(folder) / str(run.spec)))
            for run in runs
        )
        scores = on_every_mix(score, jobs, recipes, len(runs))
    return Results(dict(zip(runs, scores, strict=True)))
