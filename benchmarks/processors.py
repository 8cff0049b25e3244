"""Measure one network on each kind of processor that this one can show; `make processors` runs it.

Writes a table for each into docs/speed.md, and daemon/capacity/cores.json, on which estimates rest.
"""

import json
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import product
from os import environ
from pathlib import Path
from tempfile import TemporaryDirectory
from time import thread_time
from typing import TypeAlias

import numpy as np

from benchmarks.lesser_cpu import ALL, PROCESSORS, can_hide, environment_of
from benchmarks.ours import PRECISIONS
from benchmarks.report import DOCS, markdown_table, replace_section
from benchmarks.rounds import in_turns, ratio
from stemd.daemon.capacity.processor import processor_name
from stemd.daemon.work import SetOfNetworks, Work
from stemd.dsp.scheme import CHANNELS, Scheme
from stemd.tflite_models.graphs.spec import GraphSpec, StreamingPrecision
from stemd.tflite_models.network import Network
from stemd.tflite_models.store.library import Library

DOCUMENT, SECTION = DOCS / "speed.md", "processors"
CORES = DOCS.parent / "daemon" / "capacity" / "cores.json"
STEM = "vocals"
TWO = SetOfNetworks("2stems", (STEM, "accompaniment"))

SCHEMES = (
    Scheme(T=64, B=1, A=1, mirror=8),
    Scheme(T=64, B=2, A=1, mirror=8),
    Scheme(T=128, B=2, A=1, mirror=8),
    Scheme(T=64, B=4, A=8),
    Scheme(T=128, B=4, A=8),
    Scheme(T=128, B=16, A=16),
    Scheme(T=128, B=128, A=0),
)
"""Of the presets."""

RUNS = 3
"""Runs of a network in a round, of which the shortest counts."""

Times: TypeAlias = Mapping[tuple[str, Scheme, StreamingPrecision], Sequence[float]]
"""Seconds of each round, by processor, scheme and precision."""


class Shown:
    """A process that runs networks on a processor."""

    def __init__(self, processor: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.processors", "--serve"],
            env=environment_of(processor, environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Shown":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def seconds(self, path: Path) -> float:
        """Run a network on one window, and return how long it took."""
        assert self._process.stdin and self._process.stdout
        print(path, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())


def serve() -> None:
    """Run the networks whose paths come on standard input, and print the seconds that each took.

    They are of the processor, and the least of some runs with warm caches: what else the machine
    does counts less.
    """
    networks: dict[str, Network] = {}
    for path in map(str.strip, sys.stdin):
        network = networks.get(path) or networks.setdefault(path, Network(Path(path)))
        shape = (network.T, network.bins, CHANNELS)
        window = np.random.default_rng(0).rayleigh(1, shape).astype(np.float32)
        out = np.empty((network.B, network.bins, CHANNELS), np.float32)
        run, marks = network.in_order(), []
        for _ in range(1 + RUNS):
            run(window, out)
            marks.append(thread_time())
        print(np.diff(marks).min(), flush=True)


def measure(folder: Path, rounds: int) -> Times:
    """Time every graph on every processor in turns, one network and one thread."""
    found, paths = Library().find(TWO.name), {}
    for scheme, precision in product(SCHEMES, PRECISIONS):
        spec = GraphSpec(**scheme.numbers, precision=precision)
        paths[scheme, precision] = folder / f"{spec}.tflite"
        paths[scheme, precision].write_bytes(dict(found.write_graphs(spec))[STEM])
    with ExitStack() as stack:
        names = PROCESSORS if can_hide() else [ALL]
        shown = {name: stack.enter_context(Shown(name)) for name in names}
        rivals = {
            (name, *key): partial(process.seconds, path)
            for key, path in paths.items()
            for name, process in shown.items()
        }
        in_turns(rivals, 1)  # until they are warm
        return in_turns(rivals, rounds)


def tables(times: Times) -> str:
    """Return a table for each processor."""
    parts = [f"Measured on {processor_name()}."]
    for name in dict.fromkeys(name for name, *_ in times):
        rows = []
        for scheme in SCHEMES:
            fp32, mixed, int8 = (times[name, scheme, each] for each in PRECISIONS)
            cells = [f"{1e3 * min(each):.2f} ms" for each in (fp32, mixed, int8)]
            rows.append([str(scheme), *cells, ratio(mixed, fp32), ratio(int8, fp32)])
        head = [PROCESSORS[name], *PRECISIONS, "fp32 over mixed", "fp32 over int8"]
        parts.append(markdown_table(head, rows))
    return "\n\n".join(parts)


def read_tables(text: str) -> Iterator[tuple[str, Work, float]]:
    """Yield processor, work and seconds of each cell of `tables`."""
    names, name = {meaning: name for name, meaning in PROCESSORS.items()}, ""
    schemes = {str(scheme): scheme for scheme in SCHEMES}
    for line in text.splitlines():
        first, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        name = names.get(first, name)
        if first in schemes:
            for precision, cell in zip(PRECISIONS, cells, strict=False):
                yield name, Work(schemes[first], TWO, precision), float(cell.split()[0]) / 1e3


def fitted(cells: Sequence[tuple[Work, float]]) -> dict[str, float]:
    """Return the speeds, as in `Core`, with which the estimates come nearest to the times.

    Relative errors count, in logarithms, since a half is as wrong as twice. What comes out as less
    than no time takes next to none.
    """
    seconds = np.array([each for _, each in cells])
    macs = np.array([work.cost.macs_by_speed for work, _ in cells]) / 1e9 / seconds[:, None]
    cost, used = np.full(3, LEAST), np.ones(3, bool)
    while True:
        cost[used] = np.linalg.lstsq(macs[:, used], np.ones(len(cells)), rcond=None)[0]
        if (cost >= LEAST).all():
            break
        used &= cost >= LEAST
        cost[:] = LEAST
    cost *= np.exp(-np.mean(np.log(macs @ cost)))
    return dict(zip(("int8", "float32", "narrow"), (1 / cost).round(2).tolist(), strict=True))


LEAST = 1 / 500
"""Seconds that a billion multiplications take at least."""


def main() -> None:
    """Measure, and write the document and the cores."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds; prints only")
    parser.add_argument("--serve", action="store_true", help="run what standard input names")
    given = parser.parse_args()
    if given.serve:
        serve()
        return
    with TemporaryDirectory() as folder:
        text = tables(measure(Path(folder), 2 if given.quick else 7))
    cells = [*read_tables(text)]
    names = dict.fromkeys(name for name, *_ in cells)
    cores = {name: fitted([cell[1:] for cell in cells if cell[0] == name]) for name in names}
    content = json.dumps({"source": processor_name(), "cores": cores}, indent=1) + "\n"
    print(text, content, sep="\n\n")
    if not given.quick:
        replace_section(DOCUMENT, SECTION, text)
        CORES.write_text(content)


if __name__ == "__main__":
    main()
