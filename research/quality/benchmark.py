"""How well the stems of recorded music are separated, offline and at each preset's delay.

``make quality`` measures everything, writes all figures into one JSON file, and prints the tables;
with ``ARGS=--write`` it writes those of the reporting half into docs/research/yardstick.md. It can
measure a part (``ARGS="--half decide --schemes offline,balanced"``). What networks estimated is
kept, so it can be stopped at any time (``--minutes 7``) and goes on where it was.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import product
from pathlib import Path
from time import monotonic
from typing import Any, TypeAlias, get_args

from tqdm import tqdm

from benchmarks.report import DOCS, replace_section
from research.material.recorded import Half, Kind, Recipe, describe, recipes
from research.material.voices import MaterialError
from research.workers import workers
from stemd.daemon.presets import PRESETS
from stemd.dsp.scheme import OFFLINE, Scheme
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.graphs.spec import StreamingPrecision

try:
    from research.quality import tables
    from research.quality.estimates import Network, Way, left, masks_of_set, networks_of, run
    from research.quality.scores import Case, Score, score
except ImportError as missing:
    sys.exit(f"quality: {missing.name} is not installed; run `pip install '.[bench]'`")

DOCUMENT = DOCS / "research" / "yardstick.md"
SETS = ("2stems", "4stems-stemd")
SCHEMES: dict[str, tuple[Scheme, ...]] = {
    "offline": (OFFLINE,),
    **{name: schemes for name, schemes in PRESETS.items() if name != "auto"},
    "studio-64": (Scheme(T=64, B=16, A=16),),
    "balanced-128": (Scheme(T=128, B=4, A=8),),
    "live-128": (Scheme(T=128, B=2, A=1, mirror=8),),
}
"""The presets, and the same with the other window."""

Results: TypeAlias = dict[Case, dict[Recipe, Score]]


def cases_of(chosen: argparse.Namespace) -> list[Case]:
    """Return what is to be measured; offline in full precision of each set is always there."""
    masks = {name: masks_of_set(name) for name in chosen.sets}
    cases = [Case("offline", name, masks[name], Way()) for name in chosen.sets]
    cases += [
        Case("offline, masks by ratio", name, "sigmoid", Way())
        for name in chosen.sets
        if masks[name] == "vocals-first"
    ]
    for name, networks, precision in product(chosen.schemes, chosen.sets, chosen.precisions):
        ways = [Way(scheme, precision) for scheme in SCHEMES[name]]
        cases += [Case(name, networks, masks[networks], way) for way in ways]
    return list(dict.fromkeys(cases))


def needed_by(cases: Sequence[Case]) -> list[tuple[Network, Way]]:
    """Return every way to run a network, the quickest first; the sets share some of them."""
    jobs = {
        (network, case.way): None
        for case in sorted(cases, key=lambda case: -case.way.scheme.B)
        for network in networks_of(case.networks).values()
    }
    return list(jobs)


def estimate_all(cases: Sequence[Case], mixes: Sequence[Recipe], until: float, count: int) -> int:
    """Run the networks over all mixes, and return how many runs are left."""
    jobs = needed_by(cases)
    with workers(count) as processes:
        futures = [processes.submit(run, *job, mixes, until) for job in jobs]
        for future in tqdm(futures, unit="network"):
            future.result()
    return left(dict.fromkeys(jobs, mixes))


def score_all(cases: Sequence[Case], mixes: Sequence[Recipe], count: int) -> Results:
    """Return the figures of every case and mix."""
    jobs = list(product(cases, mixes))
    results: Results = {case: {} for case in cases}
    with workers(count) as processes:
        futures = [processes.submit(score, *job) for job in jobs]
        for (case, mix), future in zip(jobs, tqdm(futures, unit="mix"), strict=True):
            results[case][mix] = future.result()
    return results


def as_json(results: Results) -> dict[str, Any]:
    """Return everything: what was measured on, with what, and the figures of each mix."""
    mixes = {mix for scores in results.values() for mix in scores}
    return {
        "libraries": {name: version(name) for name in ("ai-edge-litert", "numpy")},
        "mixes": {mix.name: _about(mix) for mix in recipes() if mix in mixes},
        "cases": [
            {
                "name": case.name,
                "networks": case.networks,
                "masks": case.masks,
                "sha256": {stem: each.sha256 for stem, each in networks_of(case.networks).items()},
                "scheme": case.way.scheme.numbers,
                "precision": case.way.precision,
                "delay_s": case.delay_s,
                "scores": {mix.name: found for mix, found in scores.items()},
            }
            for case, scores in results.items()
        ],
    }


def _about(mix: Recipe) -> dict[str, Any]:
    songs = [{"song": song.name, "artist": song.artist, "use": song.use} for song in mix.songs]
    return {"half": mix.half, "kind": mix.kind, "songs": songs}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, known in _choices().items():
        parser.add_argument(f"--{option}", metavar="NAME,…", help=f"of {', '.join(known)}")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="then stop; go on later"
    )
    parser.add_argument("--write", action="store_true", help="write the tables into documents")
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    parser.add_argument("--json", type=Path, default=Path("quality.json"), metavar="FILE")
    chosen = parser.parse_args()
    for option, known in _choices().items():
        wanted = getattr(chosen, option)
        names = wanted.split(",") if wanted else list(known)
        setattr(chosen, option, names)
        for name in names:
            if name not in known:
                parser.error(f"--{option}: no {name!r}; there are {', '.join(known)}")
    return chosen


def _choices() -> Mapping[str, Sequence[str]]:
    return {
        "half": get_args(Half),
        "kinds": get_args(Kind),
        "sets": SETS,
        "schemes": tuple(SCHEMES),
        "precisions": get_args(StreamingPrecision),
    }


def main() -> None:
    """Measure, print, and write the tables if everything was measured."""
    chosen = _arguments()
    mixes = [m for m in recipes() if m.half in chosen.half and m.kind in chosen.kinds]
    cases = cases_of(chosen)
    remaining = estimate_all(cases, mixes, monotonic() + 60 * chosen.minutes, chosen.processes)
    if remaining:
        sys.exit(f"quality: {remaining} runs of networks are left; run it again to go on")
    if chosen.write:
        replace_section(DOCUMENT, "songs", describe())
    results = as_json(score_all(cases, mixes, chosen.processes))
    chosen.json.write_text(json.dumps(results, indent=1) + "\n")
    for half in chosen.half:
        for name, table in tables.all_tables(results, half).items():
            print(f"{half}: {name}\n\n{table}\n")
            if half == "report" and chosen.write:
                replace_section(DOCUMENT, name, table)


if __name__ == "__main__":
    try:
        main()
    except (MaterialError, ModelError, OSError) as error:
        sys.exit(f"quality: {error}")
