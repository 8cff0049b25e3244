"""Record for minutes while all processors are busy, and compare the files with what left the ports.

A second program plays a song into stemd and hears its stems, by stemd's own real-time side in a
process of its own: what its server's thread hears is kept on a tape, too. jackd waits for its
clients (-S), so both see the same cycles. `make recording` runs it.

Writes a table of docs/research/endurance.md.
"""

import os
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import sleep
from typing import TypeAlias

import numpy as np
import soundfile
from numpy.typing import NDArray

import servers
from benchmarks.report import DOCS, markdown_table, replace_section
from bystander import NAME, SONG, Bystander
from floods import daemon, status
from stemd.daemon.control.client import ControlClient
from stemd.daemon.engine.tape import Tape
from stemd.daemon.graph.jack import open_client

STEMS = ("vocals", "accompaniment")
Heard: TypeAlias = NDArray[np.float32]
"""Samples [shape=(frames, channels)]."""
BUSY = "while True: pass"
BLOCK = 1 << 20
"""Frames that are compared at once."""
SUM_TOLERANCE = 1e-3
"""Of the sum of the stems, at a sample rate that is converted."""
ONSET = 64
"""Frames by which a recording is found in what was heard."""


class Witness:
    """Keeps what a bystander plays and hears in a file."""

    def __init__(self, bystander: Bystander, rate: int, path: Path) -> None:
        self.channels = 2 * len(STEMS) + 2
        self.tape = Tape(2 * len(STEMS), [0, 1], rate)
        self._path = path
        self._bystander = bystander
        self._stopping = Event()
        self._thread = Thread(target=self._run)
        bystander.rt.tape(self.tape)
        self._thread.start()

    def _run(self) -> None:
        block = np.empty((self.channels, 8192), np.float32)
        with self._path.open("wb") as file:
            while True:
                is_last = self._stopping.wait(0.1)
                while frames := self.tape.read(block):
                    file.write(np.ascontiguousarray(block[:, :frames].T).data)
                if is_last:
                    return

    def close(self) -> Heard:
        """Return all of it [shape=(frames, channels)]: the stems, then what was played."""
        self._bystander.rt.tape(None)
        self._stopping.set()
        self._thread.join()
        return np.memmap(self._path, np.float32, "r").reshape(-1, self.channels)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep processors busy."""
    running = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def without_denormals(block: Heard) -> Heard:
    """Return it as an input hears it."""
    tiny = np.finfo(np.float32).tiny
    return np.where(np.abs(block) < tiny, np.float32(0), block)


def differing(recorded: Heard, heard: Heard) -> int:
    """Return how many recorded frames are not as they were heard; all, where none is found."""
    sounds = np.flatnonzero(np.abs(recorded[:, 0]) > 0.01)
    at = int(sounds[len(sounds) // 2])
    needle = recorded[at : at + ONSET]
    for place in np.flatnonzero(heard[:-ONSET, 0] == needle[0, 0]):
        if np.array_equal(heard[place : place + ONSET], needle):
            start = int(place) - at
            break
    else:
        return len(recorded)
    count = 0
    for first in range(0, len(recorded), BLOCK):
        ours = without_denormals(recorded[first : first + BLOCK])
        theirs = heard[max(start + first, 0) :][: len(ours)]
        if len(theirs) < len(ours):
            return len(recorded)
        count += int((ours != theirs).any(axis=1).sum())
    return count


def compare(folder: Path, heard: Heard, delay: int) -> dict[str, tuple[int, int]]:
    """Return the frames of each file, and how many of them are not what they should be.

    A stem should be as it was heard; the input, so much later, the sum of the stems: what a program
    plays reaches stemd a cycle later or earlier from one xrun to the next.
    """
    found, stems = {}, []
    for number, name in enumerate(STEMS):
        recorded, _ = soundfile.read(folder / f"{name}.wav", dtype="float32")
        found[name] = len(recorded), differing(recorded, heard[:, 2 * number :][:, :2])
        stems.append(recorded)
    recorded, _ = soundfile.read(folder / "input.wav", dtype="float32")
    others = np.abs(sum(stems)[delay:] - recorded[:-delay]).max(axis=1) > SUM_TOLERANCE
    found["input"] = len(recorded), int(np.count_nonzero(others))
    return found


def record(path: Path, folder: Path, wishes: Sequence[float]) -> tuple[Path, int, Heard]:
    """Record for so long; return the take's folder, how many frames were lost, and the truth."""
    rate, seconds, processors = wishes
    client = open_client(NAME, "jack")
    song = np.ascontiguousarray(soundfile.read(SONG, dtype="float32")[0].T)
    bystander = Bystander(client, STEMS, song)
    try:
        while not bystander.connect():
            sleep(0.1)
        witness = Witness(bystander, int(rate), folder / "heard")
        sleep(3)
        with ControlClient(path) as stemd, busy(int(processors)):
            stemd.record(True, folder=str(folder), align=False)
            sleep(seconds)
            done = stemd.record(False)
        sleep(1)
        heard = witness.close()
        if witness.tape.lost_frames:
            raise RuntimeError(f"the witness lost {witness.tape.lost_frames} frames")
        return Path(str(done.folder)), done.lost_frames, heard
    finally:
        bystander.close()


def main() -> None:
    """Record, compare, and write the table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=48_000)
    parser.add_argument("--period", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--busy", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--preset", default="live")
    parser.add_argument("--print", action="store_true", help="write nothing")
    wishes = parser.parse_args()
    with (
        TemporaryDirectory(dir=Path.cwd()) as folder,
        servers.running("jack", wishes.rate, wishes.period, waits=True) as server,
        daemon(server, path := Path(folder) / "socket", [f"separation.preset={wishes.preset}"]),
    ):
        os.environ |= {"JACK_DEFAULT_SERVER": server.environment["JACK_DEFAULT_SERVER"]}
        take, lost, heard = record(path, Path(folder), (wishes.rate, wishes.seconds, wishes.busy))
        told = status(path)
        found = compare(take, heard, told["delay"]["frames"])
        shutil.rmtree(take)
    late, xruns = told["blocks"]["late"], told["server"]["xruns"]
    head = ("file", "frames", "frames that are not what they should be")
    rows = [(f"{name}.wav", *counts) for name, counts in found.items()]
    text = (
        f"JACK, {wishes.period} frames at {wishes.rate} Hz, preset {wishes.preset}, "
        f"{wishes.seconds:g} s, {wishes.busy} other processes that are always busy; "
        f"{lost} frames lost, {late} of {told['blocks']['total']} blocks late, {xruns} xruns:\n\n"
        f"{markdown_table(head, rows)}"
    )
    print(text)
    if not wishes.print:
        replace_section(DOCS / "research" / "endurance.md", "recording", text)


if __name__ == "__main__":
    main()
