"""Measure what takes how much memory; `make boards` runs it.

Writes a table of docs/raspberry-pi.md. For each way to separate, a process of its own loads what
the daemon loads, in its order, and looks after each step how much memory it has to itself.
"""

import json
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module

from benchmarks.report import DOCS, markdown_table, replace_section

DOCUMENT = DOCS / "raspberry-pi.md"

WAYS = {
    "two stems": {"residual": False},
    "two stems, one network": {"residual": True},
}


def stages(precision: str, residual: bool) -> Iterator[str]:
    """Load one thing after the other; after each, give its name."""
    from stemd.daemon.lean import lean_imports

    yield "Python"
    with lean_imports():
        import numpy as np

        yield "NumPy"
        import stemd.daemon.cli.main
        import stemd.daemon.cli.run
        import stemd.daemon.control.interfaces.control_server
        import stemd.daemon.supervisor.app  # noqa: F401
    yield "stemd's own modules and their libraries"
    from stemd.daemon.errors import ServerError
    from stemd.daemon.graph import libjack

    with suppress(ServerError):
        libjack.load(libjack.candidates("auto")[0])
    yield "JACK's client library"
    from stemd.tflite_models.runtime import runtime_name

    import_module(f"{runtime_name()}.interpreter")
    yield "the runtime"
    from stemd.daemon.config import SeparationSection
    from stemd.daemon.engine.network_choice import choose_networks
    from stemd.daemon.engine.networks import load_networks
    from stemd.daemon.engine.scheduling import give_back_memory
    from stemd.dsp.banks import InTurn
    from stemd.dsp.mask_kinds import MaskExtension
    from stemd.dsp.pipeline import Pipeline
    from stemd.dsp.scheme import CHANNELS
    from stemd.dsp.separator import Separator

    given = {"precision": precision, "residual": residual}
    wishes = SeparationSection.model_validate(given)
    *_, work = wishes.works(choose_networks("2stems"))
    networks = load_networks(work)
    give_back_memory()  # as the daemon does: what deriving them took
    present = [network for network in networks.values() if network]
    grid = work.scheme.grid
    magnitudes = np.ones((work.scheme.T, grid.model_bins, CHANNELS), np.float32)
    estimates = np.empty((work.scheme.B, grid.model_bins, CHANNELS), np.float32)
    for network in present:
        network(magnitudes, estimates)
    yield f"networks: {len(present)}"
    separator = Separator(
        work.scheme, len(networks), InTurn(present), MaskExtension.MEAN, residual=residual
    )
    pipeline = Pipeline(separator, 48_000)
    # No noise: NumPy's would load OpenSSL.
    wave = np.tile(np.sin(np.arange(grid.hop_length), dtype=np.float32), (CHANNELS, 1))
    for _ in range(4 * work.scheme.B):
        list(pipeline.process(wave))
    yield "signal processing"


def child(precision: str, residual: bool) -> None:
    """Print how many megabytes there are after each stage, as JSON."""
    found = {}
    for stage in stages(precision, residual):
        found[stage] = private_mb()
    print(json.dumps(found))


def private_mb() -> float:
    """Return how many megabytes this process has to itself; without imports that would take some.

    What it shares with other programs in Python counts too, as if none of them ran.
    """
    kilobytes, is_pythons = 0, False
    with open("/proc/self/smaps", encoding="ascii") as lines:  # noqa: PTH123
        for line in lines:
            first, *rest = line.split()
            if not first.endswith(":"):  # the first line of a mapping
                is_pythons = "python" in line
            elif first.startswith("Private_") or (is_pythons and first.startswith("Shared_")):
                kilobytes += int(rest[0])
    return kilobytes / 1024


def measure(precision: str, residual: bool) -> dict[str, float]:
    """Return the megabytes that each stage adds, and ``all of it``."""
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.budget", "--child", json.dumps([precision, residual])],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    after = json.loads(ended.stdout)
    before = [0.0, *after.values()]
    steps = {stage: mb - before[n] for n, (stage, mb) in enumerate(after.items())}
    return {**steps, "all of it": before[-1]}


def main() -> None:
    """Measure, and write the table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--print", action="store_true", help="write nothing")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--child", type=json.loads, metavar="JSON", help="for itself")
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    columns = [measure(given.precision, way["residual"]) for way in WAYS.values()]
    rows = [
        (stage.partition(":")[0], *(f"{mb:.0f} MB" for mb in figures))
        for stage, *figures in zip(
            columns[0], *(column.values() for column in columns), strict=True
        )
    ]
    table = markdown_table(("", *WAYS), rows)
    print(table)
    if not given.print:
        replace_section(DOCUMENT, "budget", table)


if __name__ == "__main__":
    main()
