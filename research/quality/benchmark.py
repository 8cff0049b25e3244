"""How well the stems of recorded music are separated, offline and at each preset's delay.

``make quality`` measures everything, writes all figures into one JSON file, and prints the tables;
with ``ARGS=--write`` it writes those of the reporting half into the documents, and what each preset
loses into daemon/losses.json. It can measure a part (``ARGS="--half decide --schemes
offline,balanced"``). What networks estimated is kept, so it can be stopped at any time
(``--minutes 7``) and goes on where it was; with ``--kept`` it runs no network, and leaves out the
cases that are not complete.
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
from research.training.card import CARD
from research.workers import workers
from stemd.daemon.losses import FILE
from stemd.daemon.presets import PRESETS
from stemd.dsp.scheme import OFFLINE, Scheme
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.graphs.spec import StreamingPrecision
from stemd.tflite_models.store.library import Library
from stemd.tflite_models.store.manifest import MANIFEST, Figures, read_manifest

try:
    from research.quality import tables
    from research.quality.estimates import (
        Network,
        Way,
        is_kept,
        left,
        masks_of_set,
        networks_of,
        run,
    )
    from research.quality.plot import draw
    from research.quality.scores import Case, Score, score
except ImportError as missing:
    sys.exit(f"quality: {missing.name} is not installed; run `pip install '.[bench]'`")

DOCUMENT = DOCS / "research" / "yardstick.md"
PLOT = DOCS / "latency.png"
FOR_USERS = {"presets": DOCS / "latency.md", "sets": DOCS / "models.md"}
"""The documents of single tables; all others belong to `DOCUMENT`."""
OURS = "4stems-stemd"
SETS = ("2stems", OURS)
SCHEMES: dict[str, tuple[Scheme, ...]] = {
    "offline": (OFFLINE,),
    **{name: schemes for name, schemes in PRESETS.items() if name != "auto"},
    "studio-64": (Scheme(T=64, B=16, A=16),),
}
"""The presets, and `studio` with the shorter window."""

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


def complete(cases: Sequence[Case], mixes: Sequence[Recipe]) -> list[Case]:
    """Return the cases whose networks ran over all mixes of which a stem is known."""
    known = [mix for mix in mixes if mix.kind != "whole"]
    return [case for case in cases if all(is_ready(case, mix) for mix in known)]


def is_ready(case: Case, mix: Recipe) -> bool:
    """Whether all networks of a case ran over a mix, and offline too, to compare with."""
    networks = networks_of(case.networks).values()
    return all(is_kept(mix, each, way) for each in networks for way in (case.way, Way()))


def score_all(cases: Sequence[Case], mixes: Sequence[Recipe], count: int) -> Results:
    """Return the figures of every case and mix."""
    jobs = [(case, mix) for case, mix in product(cases, mixes) if is_ready(case, mix)]
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


def record(results: Mapping[str, Any]) -> None:
    """Write the figures of the reporting half to where the program reads them."""
    losses = json.dumps(tables.losses(results, "report"), indent=1)
    FILE.write_text(f"{losses}\n", encoding="utf-8")
    if OURS in {case["networks"] for case in results["cases"]}:
        found = tables.means(results, "report", OURS)
        folder = Library().find_bundled(OURS).folder
        manifest = read_manifest(folder)
        figures = Figures(of="recorded songs", sdr_db=found)
        manifest = manifest.model_copy(update={"figures": figures})
        (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        card["recorded"] = found
        (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, known in _choices().items():
        parser.add_argument(f"--{option}", metavar="NAME,…", help=f"of {', '.join(known)}")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="then stop; go on later"
    )
    parser.add_argument(
        "--kept", action="store_true", help="run no network; leave out what is not complete"
    )
    parser.add_argument("--write", action="store_true", help="write the tables into documents")
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    parser.add_argument("--json", type=Path, default=Path("quality.json"), metavar="FILE")
    chosen = parser.parse_args()
    for option, known in _choices().items():
        wanted = getattr(chosen, option)
        names = wanted.split(",") if wanted else list(SETS if option == "sets" else known)
        setattr(chosen, option, names)
        for name in names:
            if name not in known:
                parser.error(f"--{option}: no {name!r}; there are {', '.join(known)}")
    return chosen


def _choices() -> Mapping[str, Sequence[str]]:
    return {
        "half": get_args(Half),
        "kinds": get_args(Kind),
        "sets": Library().names,
        "schemes": tuple(SCHEMES),
        "precisions": get_args(StreamingPrecision),
    }


def main() -> None:
    """Measure, print, and write the tables if everything was measured."""
    chosen = _arguments()
    mixes = [m for m in recipes() if m.half in chosen.half and m.kind in chosen.kinds]
    cases = cases_of(chosen)
    if chosen.kept:
        cases = complete(cases, mixes)
    until = monotonic() + 60 * chosen.minutes
    if not chosen.kept and (remaining := estimate_all(cases, mixes, until, chosen.processes)):
        sys.exit(f"quality: {remaining} runs of networks are left; run it again to go on")
    results = as_json(score_all(cases, mixes, chosen.processes))
    chosen.json.write_text(json.dumps(results, indent=1) + "\n")
    for half in chosen.half:
        for name, table in tables.all_tables(results, half).items():
            print(f"{half}: {name}\n\n{table}\n")
            if half == "report" and chosen.write:
                replace_section(FOR_USERS.get(name, DOCUMENT), name, table)
    if chosen.write:
        replace_section(DOCUMENT, "songs", describe())
        draw(PLOT, tables.points(results, "report"))
        record(results)


if __name__ == "__main__":
    try:
        main()
    except (MaterialError, ModelError, OSError) as error:
        sys.exit(f"quality: {error}")
