"""Count the xruns that another program suffers, with stemd and without; `make xruns` runs it.

The server runs with short periods. Both cores are busy all the time, memory comes and goes, and a
thread of pure Python spins: with stemd inside its process, without it in one of its own. The
bystander is alone, beside a client with stemd's ports that does nothing, and beside stemd, in
turns. Its compiled callback counts xruns. Writes a table of docs/research/endurance.md.
"""

from argparse import ArgumentParser
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import get_args

import servers
from benchmarks.report import DOCS, markdown_table, replace_section
from hostile import CONNECTIONS, STEMS
from programs import Program, load
from servers import AudioServer, Kind

COUNTED = ("periods", "reported", "jumps")

PERIODS: dict[Kind, int] = {"jack": 64, "pipewire": 128}
"""The shortest that the server holds alone: below 128, PipeWire leaves cycles out."""

NAMES: dict[Kind, str] = {"jack": "JACK", "pipewire": "PipeWire"}

ALONE, IDLE, STEMD = "alone", "beside a client that does nothing", "beside stemd"

DOCUMENT = DOCS / "research" / "endurance.md"


@dataclass
class Count:
    """What the bystander counted in the turns of one kind."""

    periods: int = 0
    reported: int = 0
    jumps: int = 0
    worst_us: float = 0.0
    late_periods: int = 0
    late_blocks: int = 0
    blocks: int = 0


def turn(server: AudioServer, who: str, seconds: float, folder: Path) -> Count:
    """Let the bystander count for so many seconds, in the company of ``who``."""
    with ExitStack() as stack:
        bystander = Program("bystander.py", [server.kind, *STEMS], server.environment, folder / "b")
        stack.callback(bystander.end)
        other = None
        if who == STEMD:
            wishes = [f"jack.server={server.kind}", "control.socket=off"]
            other = Program("hostile.py", wishes, server.environment, folder / "d")
            stack.callback(other.end)
            bystander.wait_for(lambda it: max(it.get("heard", [0])) > 0, 60)
            other.tell(f"spin {seconds + 60}")
        else:
            stack.enter_context(load(1, 0))
        if who == IDLE:
            other = Program("idle.py", [server.kind, *STEMS], server.environment, folder / "i")
            stack.callback(other.end)
            bystander.wait_for(lambda it: it.get("connections") == CONNECTIONS, 60)
        first = bystander.wait_for(lambda it: it.get("periods"), 60)
        sleep(seconds)
        last = bystander.wait_for(lambda it: "periods" in it, 5)
        count = Count(*(last[what] - first[what] for what in COUNTED))
        if other:
            count.worst_us = other.reports[-1]["worst_ns"] / 1000
        if other and who == STEMD:
            report = other.reports[-1]
            count.late_periods, blocks = report["link"]["late_periods"], report["blocks"]
            count.late_blocks, count.blocks = blocks["late"], blocks["total"]
    return count


def add(one: Count, other: Count) -> Count:
    """Sum up two counts."""
    return Count(
        one.periods + other.periods,
        one.reported + other.reported,
        one.jumps + other.jumps,
        max(one.worst_us, other.worst_us),
        one.late_periods + other.late_periods,
        one.late_blocks + other.late_blocks,
        one.blocks + other.blocks,
    )


def table(counts: Mapping[str, Count]) -> str:
    """Return the table of the document."""
    head = ("", "xruns reported", "jumps of the clock", "late blocks")
    rows = [
        (
            who,
            count.reported,
            count.jumps,
            f"{count.late_blocks} of {count.blocks}" if count.blocks else "",
        )
        for who, count in counts.items()
    ]
    return markdown_table(head, rows)


def main() -> None:
    """Measure, and write the table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--server", choices=get_args(Kind), default="jack")
    parser.add_argument("--rate", type=int, default=48_000)
    parser.add_argument("--period", type=int, help="by default 64; PipeWire 128")
    parser.add_argument("--minutes", type=float, default=10, help="of each")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--print", action="store_true", help="write nothing")
    wishes = parser.parse_args()
    period = wishes.period or PERIODS[wishes.server]
    counts = {who: Count() for who in (ALONE, IDLE, STEMD)}
    with (
        TemporaryDirectory() as folder,
        load(cores=2, megabytes=200),
        servers.running(wishes.server, wishes.rate, period) as server,
    ):
        seconds = 60 * wishes.minutes / wishes.turns
        for _ in range(wishes.turns):
            for who, before in counts.items():
                counts[who] = add(before, turn(server, who, seconds, Path(folder)))
                print(f"{who}: {counts[who]}", flush=True)
    settings = f"{period} frames at {wishes.rate} Hz, {wishes.minutes:g} minutes of each:"
    text = f"{NAMES[wishes.server]}, {settings}\n\n{table(counts)}"
    print(text)
    if not wishes.print:
        replace_section(DOCUMENT, f"xruns-{wishes.server}", text)


if __name__ == "__main__":
    main()
