"""Count how often stemd's threads wake up; `make wakeups` runs it.

Writes a table of docs/speed.md: with no audio server, while nothing plays, and while music plays.
"""

import os
import subprocess
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import jack
import numpy as np

from benchmarks.report import DOCS, markdown_table, replace_section
from stemd.daemon.graph.private_server import private_server

DOCUMENT, SECTION = DOCS / "speed.md", "wakeups"
BLOCKSIZE, SAMPLERATE = 1024, 48_000
SETTLED_S, COUNTED_S = 10.0, 20.0

JOBS = {
    "MainThread": "main thread",
    "stemd-engine": "engine",
    "stemd-vocals": "networks",
    "stemd-accompani": "networks",
}
"""The threads that the table names; a name has at most 15 characters in /proc."""


def wakeups(pid: int) -> Counter[str]:
    """Return how often each thread of a process has waited and was woken, by name."""
    found: Counter[str] = Counter()
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        name = "MainThread" if task.name == str(pid) else fields["Name"]
        found[JOBS.get(name, "JACK and the rest")] += int(fields["voluntary_ctxt_switches"])
    return found


def counted(pid: int, seconds: float) -> dict[str, float]:
    """Return wake-ups a second."""
    before, began = wakeups(pid), monotonic()
    sleep(seconds)
    after, took = wakeups(pid), monotonic() - began
    # A thread that has ended meanwhile takes its count with it.
    return {name: max(after[name] - before[name], 0) / took for name in after}


@contextmanager
def stemd(environment: Mapping[str, str]) -> Iterator[int]:
    """Run the daemon while the context lasts, and give its process."""
    command = [str(Path(sys.executable).with_name("stemd")), "run", "--set", "jack.server=jack"]
    with subprocess.Popen(command, env={**environment}, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


@contextmanager
def player(server: str) -> Iterator[None]:
    """Play noise into stemd while the context lasts."""
    client = jack.Client("player", servername=server, no_start_server=True)
    noise = 0.1 * np.random.default_rng(0).standard_normal(BLOCKSIZE).astype(np.float32)
    out = [client.outports.register(name) for name in "LR"]

    def play(_: int) -> None:
        for port in out:
            port.get_array()[:] = noise

    client.set_process_callback(play)
    with client:
        for port, side in zip(out, "LR", strict=True):
            client.connect(port, f"stemd:in_{side}")
        yield


def joined(server: str) -> None:
    """Wait until stemd has its ports."""
    client = jack.Client("watch", servername=server, no_start_server=True)
    while not client.get_ports("stemd:in_R"):
        sleep(0.1)
    client.close()


def measure(seconds: float) -> dict[str, dict[str, float]]:
    """Return wake-ups a second by state, and by thread."""
    found = {}
    with TemporaryDirectory() as home:
        environment = {**os.environ, "XDG_RUNTIME_DIR": home, "XDG_STATE_HOME": home}
        environment["JACK_NO_START_SERVER"] = "1"
        with stemd({**environment, "JACK_DEFAULT_SERVER": "none"}) as pid:
            sleep(SETTLED_S)
            found["no audio server"] = counted(pid, seconds)
        with (
            private_server(SAMPLERATE, BLOCKSIZE) as server,
            stemd({**environment, "JACK_DEFAULT_SERVER": server}) as pid,
        ):
            joined(server)
            sleep(SETTLED_S)
            found["nothing plays"] = counted(pid, seconds)
            with player(server):
                sleep(SETTLED_S)
                found["music plays"] = counted(pid, seconds)
    return found


def main() -> None:
    """Count, and write the table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="for a short time; prints only")
    quick = parser.parse_args().quick
    found = measure(COUNTED_S / 4 if quick else COUNTED_S)
    names = [*dict.fromkeys(JOBS.values()), "JACK and the rest"]
    rows = [(name, *(f"{each.get(name, 0):.1f}" for each in found.values())) for name in names]
    rows.append(("all", *(f"{sum(each.values()):.1f}" for each in found.values())))
    table = markdown_table(("wake-ups a second", *found), rows)
    print(table)
    if not quick:
        replace_section(DOCUMENT, SECTION, table)


if __name__ == "__main__":
    main()
