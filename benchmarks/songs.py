"""Measure what many songs cost, in time and memory; `make songs` runs it.

Writes the tables of docs/scale.md. Each figure is of a whole command, `stemd separate FOLDER`. The
songs are noise: what a song costs does not depend on what is in it.
"""

import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import NamedTuple

import numpy as np
import soundfile

from benchmarks.ours import COMMAND
from benchmarks.report import DOCS, markdown_table, replace_section
from stemd.dsp.scheme import CHANNELS, SAMPLERATE

DOCUMENT, COSTS, MEMORY = DOCS / "scale.md", "songs", "memory"
LONG_S = 900.0
SHORT_S = (30.0, 60.0)
"""The mean length of short songs."""
MANY_S = 2.0
OPTIONS = ("--networks", "2stems", "--only", "vocals")
LOOK_S = 0.2
"""How often stemd's processes are looked at."""
SETTLED_S = 5.0
OF_CLUSTER, OF_CLUSTER_S = 12, 60.0
"""Songs that the cluster separates, and how long each is."""


class Run(NamedTuple):
    """What a command took."""

    wall_s: float
    cpu_s: float
    main_mb: float
    """Resident memory of its main process at most, and of the largest that this has started."""
    child_mb: float


def lengths(songs: int, mean: float) -> list[float]:
    """Return lengths from half the mean to one and a half of it."""
    return [mean * (0.5 + (number + 0.5) / songs) for number in range(songs)]


def write_songs(folder: Path, seconds: Sequence[float]) -> Path:
    """Write a song of each length into a new folder."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    second = (0.1 * rng.standard_normal((SAMPLERATE, CHANNELS))).astype(np.float32)
    for number, length in enumerate(seconds):
        left = round(length * SAMPLERATE)
        with soundfile.SoundFile(folder / f"{number}.wav", "w", SAMPLERATE, CHANNELS) as file:
            while left:
                file.write(second[:left])
                left -= min(left, SAMPLERATE)
    return folder


def separate(songs: Path, *options: object) -> Run:
    """Separate a folder of songs."""
    with TemporaryDirectory(dir=songs.parent) as folder:
        words = ["separate", songs, "-o", Path(folder, "stems"), *OPTIONS, *options]
        began = perf_counter()
        with Path(folder, "said").open("w") as said:
            command = map(str, [COMMAND, *words])
            process = subprocess.Popen([*command], stdout=subprocess.DEVNULL, stderr=said)
        main_mb = child_mb = 0.0
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            main_mb = max(main_mb, _peak_mb(str(process.pid)))
            child_mb = max([child_mb, *map(_peak_mb, _children(process.pid))])
            sleep(LOOK_S)
        _, status, usage = ended
        wall_s = perf_counter() - began
        if status:
            raise RuntimeError(f"stemd failed: {Path(folder, 'said').read_text()}")
    return Run(wall_s, usage.ru_utime + usage.ru_stime, main_mb, child_mb)


def _children(pid: int) -> list[str]:
    found = []
    with suppress(OSError):  # it has just ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += (task / "children").read_text().split()
    return found


def _peak_mb(pid: str) -> float:
    with suppress(OSError, StopIteration):  # it has just ended
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return 0.0


def costs(folder: Path, songs: int) -> str:
    """Return a table of the time of short songs, for each second, over that of a long one."""
    long = separate(write_songs(folder / "long", [LONG_S]), "--jobs", 1)
    rows = []
    for mean in SHORT_S:
        short = separate(write_songs(folder / f"{mean:.0f}", lengths(songs, mean)), "--jobs", 1)
        ratio = short.cpu_s / songs / mean / (long.cpu_s / LONG_S)
        rows.append((f"{songs} of {mean / 2:.0f} to {1.5 * mean:.0f} s", f"{ratio:.2f}"))
    return markdown_table(("songs", "processor time of a second"), rows)


def memory(folder: Path, songs: int) -> str:
    """Return a table of the memory of one song, of a long one and of many."""
    rows = []
    for name, seconds in {
        "one of 2 seconds": [MANY_S],
        f"one of {LONG_S / 60:.0f} minutes": [LONG_S],
        f"{songs} of 2 seconds": songs * [MANY_S],
    }.items():
        run = separate(write_songs(folder / name, seconds), "--preset", "seed")
        rows.append((name, f"{run.main_mb:.0f} MB", f"{run.child_mb:.0f} MB"))
    return markdown_table(("songs", "main process", "each further process"), rows)


@contextmanager
def dask(*words: object) -> Iterator[None]:
    """Run a program of Dask's while the context lasts."""
    process = subprocess.Popen(
        list(map(str, words)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def cluster(folder: Path) -> float:
    """Return how many times as fast two workers of one core each are as one."""
    program = ("-m", "distributed.cli.dask_worker", "tcp://127.0.0.1:8786", "--nthreads", 1)
    words = (*program, "--no-nanny", "--no-dashboard", "--local-directory", folder)
    songs = write_songs(folder / "cluster", OF_CLUSTER * [OF_CLUSTER_S])
    few = write_songs(folder / "few", 4 * [OF_CLUSTER_S / 4])
    to = ("--scheduler", "tcp://127.0.0.1:8786")
    scheduler = (sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1")
    times = []
    for workers in (1, 2):
        with ExitStack() as stack:
            stack.enter_context(dask(*scheduler, "--no-dashboard"))
            for core in range(workers):
                stack.enter_context(dask("taskset", "-c", core, sys.executable, *words))
            sleep(SETTLED_S)
            separate(few, *to)  # the workers load their networks
            times.append(separate(songs, *to).wall_s)
    return times[0] / times[1]


def main() -> None:
    """Measure, and write the tables."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer songs; prints only")
    parser.add_argument("--only", choices=["costs", "memory", "cluster"])
    options = parser.parse_args()
    few = 10 if options.quick else 1
    with TemporaryDirectory() as name:
        folder = Path(name)
        for what, songs, measure in (("costs", 100, costs), ("memory", 1000, memory)):
            if options.only in (None, what):
                table = measure(folder, songs // few)
                print(table, flush=True)
                if not options.quick:
                    replace_section(DOCUMENT, COSTS if what == "costs" else MEMORY, table)
        if options.only in (None, "cluster"):
            print(f"two workers: {cluster(folder):.2f} times as fast as one")


if __name__ == "__main__":
    main()
