"""Which layers tolerate 8 bits: what each costs in decibels, and what it saves in time.

``make precision`` writes the table into docs/research/delay.md; with fewer songs
(``ARGS="--songs 2"``) it only prints. `stemd.tflite_models.spleeter.quantization` keeps the layers
in float32 that it shows to be worth it.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.report import DOCS, markdown_table, replace_section
from benchmarks.rounds import clocked, in_turns
from research.material.mixes import RECIPES, build_mixes
from research.material.voices import MaterialError
from research.quality.pool import Graphs, on_every_mix
from stemd.daemon.presets import SHORTEST_WINDOWS
from stemd.dsp.scheme import CHANNELS, SPLEETER
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.network import Network
from stemd.tflite_models.spleeter.architecture import KEPT_FLOAT
from stemd.tflite_models.spleeter.reader import read_weights
from stemd.tflite_models.spleeter.streaming import compile_graph
from stemd.tflite_models.store.library import Library

try:
    from research.quality.variants import score_scheme
except ImportError as missing:
    sys.exit(f"precision: {missing.name} is not installed; run `pip install '.[bench]'`")

SCHEME = SHORTEST_WINDOWS["balanced"][0]
SPEC = GraphSpec(T=SCHEME.T, B=SCHEME.B, A=SCHEME.A, mirror=SCHEME.mirror, precision="mixed")
LAYERS = [f"{side}/{n}" for side in ("encoder", "decoder") for n in range(1, 7)] + ["head"]
ROUNDS = 30


@dataclass(frozen=True)
class Choice:
    """Layers that are kept in float32; the others are int8."""

    name: str
    kept: frozenset[str]


def choices() -> list[Choice]:
    """Return the rows of the table: fp32 first, then int8."""
    kept = KEPT_FLOAT
    return [
        Choice("none (fp32)", frozenset(LAYERS)),
        Choice("all (int8)", frozenset()),
        *(Choice(f"{layer} only", frozenset(LAYERS) - {layer}) for layer in LAYERS),
        Choice(f"all but {_named(kept)} (mixed)", kept),
        *(Choice(f"mixed, and {layer}", kept - {layer}) for layer in sorted(kept)),
        *(
            Choice(f"mixed, but not {layer}", kept | {layer})
            for layer in LAYERS
            if layer not in kept
        ),
    ]


def _named(layers: frozenset[str]) -> str:
    return ", ".join(layer for layer in LAYERS if layer in layers)


def write_graphs(choice: Choice, folder: Path) -> Graphs:
    """Compile both stems' graphs with these layers kept."""
    folder.mkdir(parents=True)
    graphs = {}
    for stem, path in Library().find("2stems").paths.items():
        unet, _ = read_weights(path)
        graphs[stem] = folder / f"{stem}.tflite"
        graphs[stem].write_bytes(compile_graph(unet, SPEC, {}, choice.kept))
    return graphs


def measure_times(graphs: dict[Choice, Path]) -> dict[Choice, float]:
    """Return each one's time over that of int8, one thread, in turns."""
    window = np.random.default_rng(0).random((SCHEME.T, SPLEETER.model_bins, CHANNELS), np.float32)
    out = np.empty((SCHEME.B, SPLEETER.model_bins, CHANNELS), np.float32)
    networks = {choice: Network(path) for choice, path in graphs.items()}
    rivals = {
        choice.name: clocked(partial(network.in_order(), window, out))
        for choice, network in networks.items()
    }
    results = in_turns(rivals, ROUNDS)
    int8 = [each.wall for each in results["all (int8)"]]
    return {
        choice: median(
            each.wall / base for each, base in zip(results[choice.name], int8, strict=True)
        )
        for choice in networks
    }


def table(
    rows: Sequence[Choice], scores: dict[Choice, list[float]], times: dict[Choice, float]
) -> str:
    """Return the table; decibels are the vocals' plain SDR, against fp32."""
    full = np.array(scores[rows[0]])
    lines = []
    for choice in rows:
        change = np.array(scores[choice]) - full
        lines.append(
            [choice.name, f"{change.mean():+.3f}", f"{change.min():+.2f}", f"{times[choice]:.2f}"]
        )
    return markdown_table(["8 bits", "± fp32", "worst mix", "time over int8"], lines)


def main() -> None:
    """Measure, print, and write if every mix was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=len(RECIPES), metavar="N", help="first N only")
    songs = parser.parse_args().songs
    if not 1 <= songs <= len(RECIPES):
        parser.error(f"--songs is from 1 to {len(RECIPES)} (got {songs})")
    build_mixes(songs)
    rows = choices()
    with TemporaryDirectory() as name:
        graphs = {
            choice: write_graphs(choice, Path(name) / str(number))
            for number, choice in enumerate(rows)
        }
        times = measure_times({choice: paths["vocals"] for choice, paths in graphs.items()})
        jobs = ((SCHEME, paths) for paths in graphs.values())
        scores = on_every_mix(score_scheme, jobs, RECIPES[:songs], len(rows))
    text = table(rows, dict(zip(rows, scores, strict=True)), times)
    print(text)
    if songs == len(RECIPES):
        replace_section(DOCS / "research" / "delay.md", "precision", text)


if __name__ == "__main__":
    try:
        main()
    except (MaterialError, ModelError, OSError) as error:
        sys.exit(f"precision: {error}")
