"""Counts the xruns that another program suffers, with stemd and without; `make xruns` runs it.

The server runs with short periods. Both cores are busy all the time, memory comes and goes, and a
thread of pure Python spins: with stemd inside its process, without it in one of its own. With and
without take turns, and the bystander's callback, compiled, counts what it sees.
"""

from argparse import ArgumentParser
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import get_args

import servers
from hostile import STEMS
from programs import Program, load
from report import markdown_table
from servers import AudioServer, Kind

COUNTED = ("periods", "xruns", "gaps")


@dataclass
class Count:
    """What the bystander counted in the turns of one kind."""

    periods: int = 0
    xruns: int = 0
    gaps: int = 0
    worst_us: float = 0.0
    late_blocks: int = 0
    blocks: int = 0


def turn(server: AudioServer, with_stemd: bool, seconds: float, folder: Path) -> Count:
    """Let the bystander count for so long."""
    with ExitStack() as stack:
        bystander = Program("bystander.py", [server.kind, *STEMS], server.environment, folder / "b")
        stack.callback(bystander.end)
        daemon = None
        if with_stemd:
            wishes = [f"jack.server={server.kind}"]
            daemon = Program("hostile.py", wishes, server.environment, folder / "d")
            stack.callback(daemon.end)
            bystander.wait_for(lambda it: max(it.get("heard", [0])) > 0, 60)
            daemon.tell(f"spin {seconds + 60}")
        else:
            stack.enter_context(load(1, 0))
            bystander.wait_for(lambda it: it.get("periods"), 60)
        first = bystander.wait_for(lambda it: "periods" in it, 5)
        sleep(seconds)
        last = bystander.wait_for(lambda it: "periods" in it, 5)
        count = Count(*(last[what] - first[what] for what in COUNTED))
        if daemon:
            mine = daemon.reports[-1]
            count.worst_us = mine["worst_ns"] / 1000
            count.late_blocks, count.blocks = mine["blocks"]["late"], mine["blocks"]["total"]
    return count


def add(one: Count, other: Count) -> Count:
    """Sum up two counts."""
    return Count(
        one.periods + other.periods,
        one.xruns + other.xruns,
        one.gaps + other.gaps,
        max(one.worst_us, other.worst_us),
        one.late_blocks + other.late_blocks,
        one.blocks + other.blocks,
    )


def main() -> None:
    """Measure, and print a table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--server", choices=get_args(Kind), default="jack")
    parser.add_argument("--rate", type=int, default=48_000)
    parser.add_argument("--period", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=10, help="with stemd; as long without")
    parser.add_argument("--turns", type=int, default=5)
    wishes = parser.parse_args()
    counts = {True: Count(), False: Count()}
    with (
        TemporaryDirectory() as folder,
        load(cores=2, megabytes=200),
        servers.running(wishes.server, wishes.rate, wishes.period) as server,
    ):
        for number in range(2 * wishes.turns):
            with_stemd = number % 2 == 1
            seconds = 60 * wishes.minutes / wishes.turns
            counts[with_stemd] = add(
                counts[with_stemd], turn(server, with_stemd, seconds, Path(folder))
            )
            print(f"{'with' if with_stemd else 'without'}: {counts[with_stemd]}", flush=True)
    head = ("", "periods", "xruns", "jumps of the clock", "stemd's longest cycle", "late blocks")
    rows = [
        ("without stemd", *(getattr(counts[False], what) for what in COUNTED), "", ""),
        (
            "with stemd",
            *(getattr(counts[True], what) for what in COUNTED),
            f"{counts[True].worst_us:.0f} µs",
            f"{counts[True].late_blocks} of {counts[True].blocks}",
        ),
    ]
    print(markdown_table(head, rows))


if __name__ == "__main__":
    main()
