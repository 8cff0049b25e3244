"""Measure how the time of a block divides; `make block` runs it.

Writes a table of docs/speed.md. Each step's own time, without that of the steps it calls, on one
thread and one after the other; the networks are the default preset's.
"""

from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.report import DOCS, markdown_table, replace_section
from stemd.daemon.config import SeparationSection
from stemd.dsp.banks import Bank, InTurn
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.masks import RatioMask
from stemd.dsp.pipeline import Pipeline
from stemd.dsp.resampling import RateConverter
from stemd.dsp.scheme import CHANNELS, SAMPLERATE, SPLEETER
from stemd.dsp.separator import Separator
from stemd.dsp.stft import Analysis, Synthesis
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.network import Network
from stemd.tflite_models.store.library import Library

DOCUMENT = DOCS / "speed.md"

SERVER_RATE = 48_000

BLOCKS, WARM_UP = 400, 20

STEPS = {
    "networks": (Network, "_run"),
    "analysis: windows and transforms": (Analysis, "process"),
    "magnitudes": (Bank, "hear"),
    "window slides": (Bank, "slide_from"),
    "masks": (RatioMask, "update"),
    "masks times spectra": (Separator, "_shape"),
    "synthesis: transforms, windows, overlap and add": (Synthesis, "process"),
    "sample rate, from and to 48 kHz": (RateConverter, "process"),
    "all the rest": (Pipeline, "process"),
}
"""Methods in which the time is spent."""


class Stopwatch:
    """Adds up the time that methods spend in themselves."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        self._inner_s = [0.0]

    def watch(self, name: str, kind: type, method: str) -> None:
        """Time all calls of a method."""
        original: Callable[..., Any] = getattr(kind, method)

        def timed(*arguments: Any, **keywords: Any) -> Any:
            self._inner_s.append(0.0)
            began = perf_counter()
            try:
                result = original(*arguments, **keywords)
                return list(result) if kind is Pipeline else result
            finally:
                took = perf_counter() - began
                self.spent_s[name] += took - self._inner_s.pop()
                self._inner_s[-1] += took

        setattr(kind, method, timed)


def spent(stopwatch: Stopwatch, stems: int, rounds: int) -> dict[str, float]:
    """Return each step's microseconds for a block."""
    wishes = SeparationSection()
    *_, scheme = wishes.schemes(SPLEETER)
    graphs = Library().find("2stems").graphs(GraphSpec(**scheme.numbers, precision="mixed"))
    networks = [Network(path) for path in (2 * list(graphs.values()))[:stems]]
    pipeline = Pipeline(Separator(scheme, stems, InTurn(networks), MaskExtension.MEAN), SERVER_RATE)
    frames = scheme.B * scheme.grid.hop_length * SERVER_RATE // SAMPLERATE
    noise = np.random.default_rng(0).standard_normal((CHANNELS, frames)).astype(np.float32)
    for number in range(WARM_UP + rounds):
        if number == WARM_UP:
            stopwatch.spent_s.clear()
        pipeline.process(0.1 * noise)
    return {step: 1e6 * stopwatch.spent_s[step] / rounds for step in STEPS}


def main() -> None:
    """Measure, and write the table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few blocks, and print only")
    quick = parser.parse_args().quick
    stopwatch = Stopwatch()
    for name, (kind, method) in STEPS.items():
        stopwatch.watch(name, kind, method)
    rounds = BLOCKS // 10 if quick else BLOCKS
    columns = [spent(stopwatch, stems, rounds) for stems in (2, 2, 4)][1:]  # once to get warm
    rows = [
        (
            step,
            *(f"{each[step]:.0f} µs | {each[step] / sum(each.values()):.1%}" for each in columns),
        )
        for step in STEPS
    ]
    table = markdown_table(("", "2 stems", "share", "4 stems", "share"), rows)
    print(table)
    if not quick:
        replace_section(DOCUMENT, "block", table)


if __name__ == "__main__":
    main()
