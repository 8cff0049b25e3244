"""SDR of the stems against the delay: every preset, every precision, and what lies between.

``make presets`` runs all of it and writes the tables into docs/research/delay.md. A part of it
(``make presets ARGS="--songs 2 --schemes balanced,live"``) is only printed.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
import soundfile

from benchmarks.report import DOCS, markdown_table, replace_section
from research.material.mixes import RECIPES, Recipe, build_mix, build_mixes, describe
from research.material.voices import MaterialError
from research.quality.pool import Graphs, on_every_mix
from stemd.daemon.errors import StemdError
from stemd.daemon.files.separate import separate
from stemd.daemon.files.song import Song
from stemd.daemon.files.stem_files import Destination
from stemd.daemon.presets import PRESETS, SHORTEST_WINDOWS
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import OFFLINE, SAMPLERATE, Scheme
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.graphs.spec import GraphSpec, StreamingPrecision
from stemd.tflite_models.network import Network
from stemd.tflite_models.store.library import Library

try:
    from research.quality.measures import bss_sdr_db, sdr_db
except ImportError as missing:
    sys.exit(f"presets: {missing.name} is not installed; run `pip install '.[bench]'`")

DOCUMENT = DOCS / "research" / "delay.md"
PRECISIONS: tuple[StreamingPrecision, ...] = get_args(StreamingPrecision)
STEMS = ("vocals", "accompaniment")
NAMES = tuple(name for name in PRESETS if name != "auto")

GRID = [
    Scheme(T=64, B=1, A=0, mirror=8),
    Scheme(T=64, B=4, A=0, mirror=8),
    Scheme(T=64, B=4, A=4),
    Scheme(T=64, B=8, A=8),
    Scheme(T=64, B=16, A=16),
    Scheme(T=128, B=8, A=8),
    Scheme(T=128, B=32, A=32),
]
"""Between the presets; as fp32 only, for the curve."""


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    scheme: Scheme
    precision: StreamingPrecision
    residual: bool = False
    """Whether the accompaniment is what the vocals leave, without a network."""

    @property
    def spec(self) -> GraphSpec:
        """What the graphs are compiled for."""
        numbers = {key: getattr(self.scheme, key) for key in ("T", "B", "A", "mirror")}
        return GraphSpec(**numbers, precision=self.precision)

    @property
    def delay_s(self) -> float | None:
        """At 44.1 kHz, without the server's periods; None for the whole song at once."""
        return None if self.scheme == OFFLINE else self.scheme.delay / SAMPLERATE


@dataclass(frozen=True)
class Score:
    """What one case made of one mix, each an SDR in dB by stem."""

    plain: dict[str, float]
    bss: dict[str, float]


def all_cases() -> list[Case]:
    """Return every row of the table, slowest scheme first."""
    schemes = {OFFLINE: "offline", **preset_names()}
    cases = [
        Case(name, scheme, precision)
        for scheme, name in schemes.items()
        for precision in PRECISIONS
    ]
    cases += [Case("", scheme, PRECISIONS[0]) for scheme in GRID if scheme not in schemes]
    return sorted(cases, key=lambda case: -case.scheme.delay)


def residual_cases() -> list[Case]:
    """Return what small boards may run, with and without a network for the accompaniment."""
    return [
        Case(name, SHORTEST_WINDOWS[name][0], precision, residual)
        for name in ("balanced", "studio", "seed")
        for precision in ("mixed", "int8")
        for residual in (False, True)
    ]


def preset_names() -> dict[Scheme, str]:
    """Return the preset of each scheme that has one."""
    return {scheme: name for name in NAMES for scheme in PRESETS[name]}


def measure(case: Case, recipe: Recipe, graphs: Graphs) -> Score:
    """Separate a mix as `stemd separate` does, and compare the stems with the true ones."""
    mix = build_mix(recipe)
    truth = {stem: getattr(mix, stem) for stem in STEMS}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mixture.wav"
        soundfile.write(path, mix.mixture.T, SAMPLERATE, subtype="FLOAT")
        networks = {
            stem: None if case.residual and stem == STEMS[-1] else Network(graph)
            for stem, graph in graphs.items()
        }
        with Song(path) as song:
            separate(
                song, Destination(Path(folder)), networks, case.scheme, MaskExtension.MEAN,
                on_progress=lambda *_: None,
            )  # fmt: skip
        stems = {
            stem: soundfile.read(Path(folder) / f"{stem}.wav", dtype="float32")[0].T
            for stem in STEMS
        }
    return Score(
        {stem: sdr_db(truth[stem], stems[stem]) for stem in STEMS},
        {stem: bss_sdr_db(truth[stem], stems[stem]) for stem in STEMS},
    )


def measure_all(cases: Sequence[Case], recipes: Sequence[Recipe]) -> dict[Case, list[Score]]:
    """Measure every case on every mix."""
    with TemporaryDirectory() as folder:
        # Not by way of the user's cache: it keeps few of them, and others use it too.
        jobs = (
            (case, Library().export("2stems", case.spec, Path(folder) / str(case.spec)))
            for case in cases
        )
        scores = on_every_mix(measure, jobs, recipes, len(cases))
    return dict(zip(cases, scores, strict=True))


def table_of_residuals(scores: dict[Case, list[Score]]) -> str:
    """Return the table: what it costs that the accompaniment has no network."""
    rows = []
    for case, each in scores.items():
        if case.residual:
            both = _means(scores[replace(case, residual=False)], "plain")
            alone = _means(each, "plain")
            figures = [
                f"{ours:.2f} ({ours - theirs:+.2f})"
                for ours, theirs in zip(alone, both, strict=True)
            ]
            rows.append([f"`{case.name}`", case.precision, *figures])
    return markdown_table(["preset", "precision", *STEMS], rows)


def mean_db(scores: Sequence[Score], measure: str, stem: str) -> float:
    """Return the mean over the mixes."""
    return float(np.mean([getattr(score, measure)[stem] for score in scores]))


def table_of_means(scores: dict[Case, list[Score]]) -> str:
    """Return the table: mean over the mixes, and difference from offline in full precision."""
    reference = scores[next(iter(scores))]
    rows = []
    for case, each in scores.items():
        plain, bss = _means(each, "plain"), _means(each, "bss")
        by_mix = [
            score.plain["vocals"] - best.plain["vocals"]
            for score, best in zip(each, reference, strict=True)
        ]
        bss_change = np.mean(np.subtract(bss, _means(reference, "bss")))
        rows.append(
            [
                *_about(case),
                *(f"{mean:.2f}" for mean in plain),
                *(f"{of(by_mix):+.2f}" for of in (np.mean, np.median, min)),
                *(f"{mean:.2f}" for mean in bss),
                f"{bss_change:+.2f}",
            ]
        )
    head = [
        "preset", "T, B, A, mirror", "precision", "delay",
        "vocals", "accomp.", "± offline", "median", "worst",
        "BSSEval: vocals", "accomp.", "± offline",
    ]  # fmt: skip
    return markdown_table(head, rows)


def _means(scores: Sequence[Score], measure: str) -> list[float]:
    return [mean_db(scores, measure, stem) for stem in STEMS]


def table_of_mixes(scores: dict[Case, list[Score]], recipes: Sequence[Recipe]) -> str:
    """Return the table of the vocals' plain SDR, mix by mix."""
    rows = (
        [*_about(case), *(f"{score.plain['vocals']:.1f}" for score in each)]
        for case, each in scores.items()
    )
    head = ["preset", "T, B, A, mirror", "precision", "delay"]
    return markdown_table([*head, *(recipe.name for recipe in recipes)], rows)


def _about(case: Case) -> list[str]:
    scheme = case.scheme
    delay = "–" if case.delay_s is None else f"{case.delay_s:.3f} s"
    numbers = f"{scheme.T}, {scheme.B}, {scheme.A}, {scheme.mirror}"
    return [f"`{case.name}`" if case.name in NAMES else case.name, numbers, case.precision, delay]


def section(scores: dict[Case, list[Score]], recipes: Sequence[Recipe]) -> str:
    """Return what stands between the markers."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("ai-edge-litert", "numpy"))
    networks = Library().find("2stems")
    return "\n\n".join(
        [
            f"SDR in dB, mean of {len(recipes)} mixes; {networks.origin} networks, weights of "
            f"{networks.precision}; {libraries}.",
            table_of_means(scores),
        ]
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=len(RECIPES), metavar="N", help="first N only")
    parser.add_argument("--schemes", metavar="NAME,…", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--precisions", metavar="NAME,…", help=f"of {', '.join(PRECISIONS)}")
    parser.add_argument(
        "--residual",
        action="store_true",
        help="instead: what it costs that the accompaniment is what the vocals leave",
    )
    chosen = parser.parse_args()
    if not 1 <= chosen.songs <= len(RECIPES):
        parser.error(f"--songs is from 1 to {len(RECIPES)} (got {chosen.songs})")
    for option, known in (("schemes", NAMES), ("precisions", PRECISIONS)):
        wanted = getattr(chosen, option)
        setattr(chosen, option, wanted.split(",") if wanted else None)
        for name in getattr(chosen, option) or ():
            if name not in known:
                parser.error(f"--{option}: no {name!r}; there are {', '.join(known)}")
    return chosen


def _chosen_cases(chosen: argparse.Namespace) -> list[Case]:
    """Return the cases asked for; offline in full precision is always the first."""
    cases = all_cases()
    if chosen.schemes:
        cases = [case for case in cases if case.name in ("offline", *chosen.schemes)]
    if chosen.precisions:
        cases = [case for case in cases if case == cases[0] or case.precision in chosen.precisions]
    return cases


def main() -> None:
    """Measure, print, and write if everything was measured."""
    chosen = _arguments()
    cases, recipes = _chosen_cases(chosen), RECIPES[: chosen.songs]
    build_mixes(chosen.songs)
    if chosen.residual:
        table = table_of_residuals(measure_all(residual_cases(), recipes))
        print(table)
        if len(recipes) == len(RECIPES):
            replace_section(DOCS / "raspberry-pi.md", "residual", table)
        return
    scores = measure_all(cases, recipes)
    text = section(scores, recipes)
    of_mixes = table_of_mixes(scores, recipes)
    print(text, of_mixes, sep="\n\n")
    if len(cases) == len(all_cases()) and len(recipes) == len(RECIPES):
        replace_section(DOCUMENT, "quality", text)
        replace_section(DOCUMENT, "mixes", of_mixes)
        replace_section(DOCUMENT, "material", describe())


if __name__ == "__main__":
    try:
        main()
    except (MaterialError, ModelError, StemdError, OSError) as error:
        sys.exit(f"presets: {error}")
