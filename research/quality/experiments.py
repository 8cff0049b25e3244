"""What was tried to lose less at a short delay; ``make experiments`` repeats it.

``make experiments ARGS="mirror schemes"`` repeats some of it; all songs must be had for what is
written into docs/latency.md.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import astuple

from benchmarks.report import DOCS, markdown_table, replace_section
from research.material.mixes import RECIPES, build_mixes
from research.material.voices import MaterialError
from stemd.dsp.scheme import HOP_LENGTH, N_FFT, SAMPLERATE, Scheme
from stemd.tflite_models.errors import ModelError

try:
    from research.quality.variants import (
        BASE,
        CONTINUATIONS,
        LOOK_AHEAD,
        LOOK_AHEADS,
        SHORT,
        SMOOTHINGS,
        WHOLE,
        Results,
        Run,
        measure,
    )
except ImportError as missing:
    sys.exit(f"experiments: {missing.name} is not installed; run `pip install '.[bench]'`")

MIRRORED = (0, 2, 4, 8, 12, 16, 24, 30)
MIRRORED_128 = (0, 8, 16, 32)
SCHEMES = [
    *(Run(64, B, 8) for B in (1, 2, 3, 4, 6, 8)),
    *(Run(64, B) for B in (2, 4, 8)),
    *(Run(128, B) for B in (4, 8)),
    *(Run(128, 8, m) for m in (8, 16)),
]


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
    """Order the schemes by delay, then by T, B, A and mirror."""
    schemes = {
        Scheme(run.T, run.B, A, run.continued): run for run in SCHEMES for A in run.look_aheads
    }
    rows = []
    for scheme in sorted(schemes, key=lambda scheme: (scheme.delay, astuple(scheme))):
        run, A, count = schemes[scheme], scheme.A, scheme.A // scheme.B + 1
        mean = [count, results.cell(run, "mean of", count, A)] if count > 1 else ["", ""]
        rows.append(
            [
                f"{scheme.delay / SAMPLERATE:.3f} s",
                *(scheme.T, scheme.B, A, scheme.mirror),
                results.cell(run, "mean of", 1, A),
                results.worst(run, "mean of", 1, A),
                *mean,
            ]
        )
    head = ["delay", "T", "B", "A", "mirror", "± offline", "worst mix", "mean of", "± offline"]
    return markdown_table(head, rows)


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
    "schemes": (SCHEMES, schemes_table),
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
