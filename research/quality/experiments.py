"""Which schemes lose least at a short delay; ``make experiments`` measures it.

``make experiments ARGS="mirror"`` measures one part; only with all songs is the result written
into docs/research/delay.md.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import astuple

from benchmarks.report import DOCS, markdown_table, replace_section
from research.material.mixes import RECIPES, build_mixes
from research.material.voices import MaterialError
from stemd.dsp.scheme import SAMPLERATE, Scheme
from stemd.tflite_models.errors import ModelError

try:
    from research.quality.variants import LOOK_AHEADS, WHOLE, Results, Run, measure
except ImportError as missing:
    sys.exit(f"experiments: {missing.name} is not installed; run `pip install '.[bench]'`")

MIRRORED = [
    *(Run(64, 2, m) for m in (0, 2, 4, 8, 12, 16, 24, 30)),
    *(Run(128, 2, m) for m in (0, 8, 16, 32)),
]
SCHEMES = [
    *(Run(64, B, 8) for B in (1, 2, 3, 4, 6, 8)),
    *(Run(64, B) for B in (2, 4, 8)),
    *(Run(128, B) for B in (4, 8)),
    *(Run(128, 8, m) for m in (8, 16)),
]


def mirror_table(results: Results) -> str:
    """Return the table of how many mirrored spectra are best."""
    rows = (
        [f"{run.T}", f"{run.mirror}", *(results.cell(run, A) for A in LOOK_AHEADS)]
        for run in MIRRORED
    )
    return markdown_table(["T", "mirror", *(f"A={A}" for A in LOOK_AHEADS)], rows)


def schemes_table(results: Results) -> str:
    """Return the table of the schemes, ordered by delay, then by T, B, A and mirror."""
    schemes = {Scheme(run.T, run.B, A, run.mirror): run for run in SCHEMES for A in run.look_aheads}
    rows = (
        [
            f"{scheme.delay / SAMPLERATE:.3f} s",
            *(scheme.T, scheme.B, scheme.A, scheme.mirror),
            results.cell(schemes[scheme], scheme.A),
            results.worst(schemes[scheme], scheme.A),
        ]
        for scheme in sorted(schemes, key=lambda scheme: (scheme.delay, astuple(scheme)))
    )
    return markdown_table(["delay", "T", "B", "A", "mirror", "± offline", "worst mix"], rows)


EXPERIMENTS: dict[str, tuple[list[Run], Callable[[Results], str]]] = {
    "mirror": (MIRRORED, mirror_table),
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
            replace_section(DOCS / "research" / "delay.md", name, table)


if __name__ == "__main__":
    try:
        main()
    except (MaterialError, ModelError, OSError) as error:
        sys.exit(f"experiments: {error}")
