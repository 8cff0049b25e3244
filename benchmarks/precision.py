"""Which layers bear 8 bits: what each costs in decibels, and what it saves in time.

``make precision`` writes the table into docs/latency.md. `stemd.tflite_models.quantization` keeps
the layers in float32 that it shows to be worth it.
"""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from tqdm import tqdm

from experiments import PROCESSES, Run, score
from material import RECIPES, build_mixes
from report import DOCS, markdown_table, replace_section
from rounds import clocked, in_turns
from stemd.daemon.config import PRESETS
from stemd.daemon.networks import SETS
from stemd.dsp.scheme import CHANNELS, MODEL_BINS
from stemd.tflite_models import quantization
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.library import Library
from stemd.tflite_models.network import Network
from stemd.tflite_models.spec import GraphSpec
from voices import MaterialError

SCHEME = PRESETS["balanced"][0]
RUN = Run(SCHEME.T, SCHEME.B, SCHEME.mirror)
VARIANT = ("mean of", 1, SCHEME.A)
"""What `score` calls the estimates of the scheme."""
LAYERS = [f"{side}/{n}" for side in ("encoder", "decoder") for n in range(1, 7)] + ["head"]
ROUNDS = 30


@dataclass(frozen=True)
class Choice:
    """Layers that are kept in float32; the others are int8."""

    name: str
    kept: frozenset[str]


def choices() -> list[Choice]:
    """Return the rows of the table: fp32 first, then int8."""
    kept = quantization.KEPT_FLOAT
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


@contextmanager
def keeping(layers: frozenset[str]) -> Iterator[None]:
    """Let the precision mixed keep these layers in float32."""
    before = quantization.KEPT_FLOAT
    quantization.KEPT_FLOAT = layers
    try:
        yield
    finally:
        quantization.KEPT_FLOAT = before


def write_graphs(choice: Choice, spec: GraphSpec, folder: Path) -> dict[str, Path]:
    """Compile both stems' graphs with these layers kept."""
    folder.mkdir(parents=True)
    paths = {}
    with keeping(choice.kept):
        for stem, content in Library().find(SETS[2]).write_graphs(spec):
            paths[stem] = folder / f"{stem}.tflite"
            paths[stem].write_bytes(content)
    return paths


def measure_times(graphs: dict[Choice, Path]) -> dict[Choice, float]:
    """Return each one's time over that of int8, one thread, in turns."""
    window = np.random.default_rng(0).random((SCHEME.T, MODEL_BINS, CHANNELS), np.float32)
    out = np.empty((SCHEME.B, MODEL_BINS, CHANNELS), np.float32)
    networks = {choice: Network(path) for choice, path in graphs.items()}
    rivals = {
        choice.name: clocked(lambda network=network: network(window, out))
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
    """Measure everything, print it, write it."""
    build_mixes()
    rows, scores = choices(), {}
    spec = GraphSpec(T=SCHEME.T, B=SCHEME.B, A=SCHEME.A, mirror=SCHEME.mirror, precision="mixed")
    wide = GraphSpec(T=RUN.spec.T, B=RUN.spec.B, A=0, mirror=RUN.spec.mirror, precision="mixed")
    with (
        TemporaryDirectory() as name,
        ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool,
    ):
        folder = Path(name)
        timed = {
            choice: write_graphs(choice, spec, folder / "timed" / str(number))["vocals"]
            for number, choice in enumerate(rows)
        }
        times = measure_times(timed)
        for number, choice in enumerate(tqdm(rows)):
            graphs = write_graphs(choice, wide, folder / str(number))
            found = pool.map(score, [RUN] * len(RECIPES), RECIPES, [graphs] * len(RECIPES))
            scores[choice] = [each[VARIANT] for each in found]
    text = table(rows, scores, times)
    print(text)
    replace_section(DOCS / "latency.md", "precision", text)


if __name__ == "__main__":
    try:
        main()
    except (MaterialError, ModelError, OSError) as error:
        sys.exit(f"precision: {error}")
