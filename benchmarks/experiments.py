"""What was tried to lose less at a short delay; ``make experiments`` repeats it.

Everything is done on whole arrays of spectra (`sliding`), with the program's transform, masks and
networks. The window moves two hops at a time and ten of its rows are computed, so that one run
answers for every look-ahead up to eight.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import sliding
from material import RECIPES, Recipe, build_mix, build_mixes
from report import DOCS, markdown_table, replace_section
from short_windows import WindowPair, asymmetric_pair, hann_pair, spectra_of, waveform_of
from stemd.daemon.networks import SETS
from stemd.dsp.arrays import Magnitudes, Waveform
from stemd.dsp.scheme import HOP_LENGTH, N_FFT, OFFLINE, SAMPLERATE, Scheme
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.library import Library
from stemd.tflite_models.network import Network
from stemd.tflite_models.spec import GraphSpec
from voices import MaterialError

try:
    from measures import sdr_db
except ImportError as missing:
    sys.exit(f"experiments: {missing.name} is not installed; run `pip install '.[bench]'`")

EXCERPT = slice(172 * HOP_LENGTH, (172 + OFFLINE.T) * HOP_LENGTH)
"""The part of each mix that is used, from its fifth second on: one window of the whole song's."""
PROCESSES = 2
LOOK_AHEAD = 8
"""Spectra; the largest A."""

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
MIRRORED = (0, 2, 4, 8, 12, 16, 24, 30)
MIRRORED_128 = (0, 8, 16, 32)
LOOK_AHEADS = (0, 1, 2, 4, 8)
SMOOTHINGS = (0.2, 0.4, 0.6)
SCHEMES = [
    *(Run(64, B, 8) for B in (1, 2, 3, 4, 6, 8)),
    *(Run(64, B) for B in (4, 8)),
    *(Run(128, 8, m) for m in (0, 8, 16)),
]
SHORT = (2048, 1024)
"""Lengths of the shorter synthesis windows."""

Scores: TypeAlias = dict[tuple[object, ...], float]
"""SDR in dB of one run on one mix, by variant."""


def score(run: Run, recipe: Recipe, graphs: dict[str, Path]) -> Scores:
    """Run the networks over a mix, and score every variant that the run answers for."""
    mix = build_mix(recipe)
    x, truth = mix.mixture[:, EXCERPT], mix.vocals[:, EXCERPT]
    spectra = sliding.analyse(x)
    estimates = sliding.estimate_blocks(
        _seen(x, spectra, run.window),
        [Network(path) for path in graphs.values()],
        (run.T, run.B, run.continued),
        run.rows,
        CONTINUATIONS[run.continuation],
    )

    def sdr(vocals: Waveform) -> float:
        return sdr_db(truth[:, : vocals.shape[1]], vocals)

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
        trained, other = _seen(x, spectra, N_FFT), _seen(x, spectra, run.window)
        scores["input",] = sdr_db(trained, other)
    return scores


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
    return total / count


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
    return sliding.magnitudes_of(spectra_of(x, pair)[per_hop - 1 :: per_hop]) * level


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
    """Do the runs on every mix, two mixes at a time."""
    scores = {}
    with (
        TemporaryDirectory() as folder,
        ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool,
        tqdm(total=len(runs) * len(recipes), unit="mix") as bar,
    ):
        for run in runs:
            # Not by way of the user's cache: it keeps few of them, and others use it too.
            graphs = Library().export(SETS[2], run.spec, Path(folder) / str(run.spec))
            futures = [pool.submit(score, run, recipe, graphs) for recipe in recipes]
            for future in futures:
                future.add_done_callback(lambda _: bar.update())
            scores[run] = [future.result() for future in futures]
    return Results(scores)


# ---- the tables ----


def mirror_table(results: Results) -> str:
    """Tell how many mirrored spectra are best."""
    runs = [Run(64, 2, m) for m in MIRRORED] + [Run(128, 2, m) for m in MIRRORED_128]
    rows = (
        [f"{run.T}", f"{run.continued}", *(results.cell(run, "mean of", 1, A) for A in LOOK_AHEADS)]
        for run in runs
    )
    return markdown_table(["T", "mirror", *(f"A={A}" for A in LOOK_AHEADS)], rows)


def continuation_table(results: Results) -> str:
    """Compare continuations of eight spectra."""
    rows = (
        [name, *(results.cell(Run(64, 2, 8, name), "mean of", 1, A) for A in LOOK_AHEADS)]
        for name in CONTINUATIONS
    )
    return markdown_table(["the last 8 spectra", *(f"A={A}" for A in LOOK_AHEADS)], rows)


def averaging_table(results: Results) -> str:
    """Compare the latest estimate with means of it and earlier ones."""
    counts = range(1, LOOK_AHEAD // BASE.B + 2)
    rows = (
        [
            f"{A}",
            *(
                results.cell(BASE, "mean of", count, A) if (count - 1) * BASE.B <= A else ""
                for count in counts
            ),
        ]
        for A in LOOK_AHEADS[2:]
    )
    return markdown_table(["A", "latest", *(f"mean of {n}" for n in counts[1:])], rows)


def smoothing_table(results: Results) -> str:
    """Tell what a first-order filter over the masks does."""
    rows = (
        [
            f"{A}",
            results.cell(BASE, "mean of", 1, A),
            *(results.cell(BASE, "smoothed", A, share) for share in SMOOTHINGS),
        ]
        for A in (0, 2)
    )
    return markdown_table(["A", "none", *(f"{share:g}" for share in SMOOTHINGS)], rows)


def windows_table(results: Results) -> str:
    """Tell what shorter synthesis windows cost and save."""
    rows = [["4096", "–", "0 ms", results.cell(WHOLE, "mean of", 1, 0)]]
    rows[0] += [results.cell(BASE, "mean of", 1, A) for A in (0, 2)] + [""]
    for length in SHORT:
        for ahead in (0, 1):
            saved = (N_FFT - length - ahead * HOP_LENGTH) / SAMPLERATE * 1000
            own = Run(BASE.T, BASE.B, BASE.continued, window=length)
            rows.append(
                [
                    f"{length}",
                    f"{ahead}",
                    f"{saved:.0f} ms",
                    results.cell(WHOLE, "short", length, 0, ahead),
                    results.cell(BASE, "short", length, 0, ahead),
                    results.cell(BASE, "short", length, 2, ahead),
                    results.cell(own, "short", length, 0, ahead),
                ]
            )
    head = ["synthesis window", "mask ahead", "saved", "masks of offline", "A=0", "A=2"]
    table = markdown_table([*head, "A=0, networks see it too"], rows)
    inputs = ", ".join(
        f"{length}: {results(Run(BASE.T, BASE.B, BASE.continued, window=length), 'input'):.1f} dB"
        for length in SHORT
    )
    return f"{table}\n\nMagnitudes through the asymmetric window against the trained: {inputs}."


def schemes_table(results: Results) -> str:
    """Order the schemes by delay."""
    rows = []
    for run in SCHEMES:
        for A in run.look_aheads:
            scheme = Scheme(run.T, run.B, A, run.continued)
            delay = scheme.delay / SAMPLERATE
            count = A // run.B + 1
            rows.append(
                [
                    f"{delay:.3f} s",
                    *(f"{n}" for n in (run.T, run.B, A, run.continued)),
                    results.cell(run, "mean of", 1, A),
                    results.worst(run, "mean of", 1, A),
                    *(
                        [f"{count}", results.cell(run, "mean of", count, A)]
                        if count > 1
                        else ["", ""]
                    ),
                ]
            )
    head = ["delay", "T", "B", "A", "mirror", "± offline", "worst mix", "mean of", "± offline"]
    return markdown_table(head, sorted(rows))


EXPERIMENTS: dict[str, tuple[list[Run], Callable[[Results], str]]] = {
    "mirror": (
        [Run(64, 2, m) for m in MIRRORED] + [Run(128, 2, m) for m in MIRRORED_128],
        mirror_table,
    ),
    "continuation": ([Run(64, 2, 8, name) for name in CONTINUATIONS], continuation_table),
    "averaging": ([BASE], averaging_table),
    "smoothing": ([BASE], smoothing_table),
    "windows": (
        [BASE, *(Run(BASE.T, BASE.B, BASE.continued, window=length) for length in SHORT)],
        windows_table,
    ),
    "schemes": (
        SCHEMES,
        schemes_table,
    ),
}
"""By name of the section: the runs that it needs, and its table."""


def main() -> None:
    """Measure, print, and write if every mix was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=len(RECIPES), metavar="N", help="first N only")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(EXPERIMENTS)}")
    chosen = parser.parse_args()
    if not 1 <= chosen.songs <= len(RECIPES):
        parser.error(f"--songs is from 1 to {len(RECIPES)} (got {chosen.songs})")
    if unknown := set(chosen.names) - set(EXPERIMENTS):
        parser.error(f"no {', '.join(sorted(unknown))}; there are {', '.join(EXPERIMENTS)}")
    names = chosen.names or list(EXPERIMENTS)
    build_mixes(chosen.songs)
    runs = dict.fromkeys([WHOLE, *(run for name in names for run in EXPERIMENTS[name][0])])
    results = measure(list(runs), RECIPES[: chosen.songs])
    for name in names:
        table = EXPERIMENTS[name][1](results)
        print(f"{name}\n\n{table}\n")
        if chosen.songs == len(RECIPES):
            replace_section(DOCS / "latency.md", name, table)


if __name__ == "__main__":
    try:
        main()
    except (MaterialError, ModelError, OSError) as error:
        sys.exit(f"experiments: {error}")
