"""Run the daemon under one fault after the other, for as long as wished; `make soak` runs it.

A seed decides which faults, in which order. After each the daemon must play again by itself, with
all its connections; the soak fails where it does not. The counters at the end show the cost.
"""

import signal
import sys
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from statistics import median
from subprocess import CalledProcessError
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import get_args

import servers
from benchmarks.report import markdown_table
from hostile import CONNECTIONS, STEMS
from programs import Footprint, Program, Report, load
from servers import AudioServer, Kind

PATIENCE_S = 30.0
"""How long the daemon may take to play again."""

SETTLED_S = 1.2
"""How long connections must have been there to be restored with the next server."""

AUDIBLE = 1e-4

PERIODS = (64, 128, 256, 512, 1024, 2048)


class Soak:
    """The server, the daemon in its graph, the bystander beside it; and what befalls them."""

    def __init__(
        self, server: AudioServer, daemon: Program, bystander: Program, random: Random
    ) -> None:
        self._server = server
        self._daemon = daemon
        self._bystander = bystander
        self._random = random
        self.faults: dict[str, Callable[[], float]] = {
            "kill the server": lambda: self._end_server(signal.SIGKILL),
            "stop the server": lambda: self._end_server(signal.SIGTERM),
            "suspend the server": self._suspend_server,
            "change the period": self._change_period,
            "busy cores, scarce memory": self._burden,
            "spin in Python": lambda: self._harm("spin", 1.0, 5.0),
            "slow networks": lambda: self._harm("slow", 0.5, 2.0, "overloaded"),
            "network that raises": lambda: self._harm("raise", 0, 0, "recovering"),
            "network that takes long": lambda: self._harm("hang", 2.0, 4.0, "overloaded"),
            "network that hangs": lambda: self._harm("hang", 15.0, 20.0, "recovering"),
            "engine that stands still": lambda: self._harm("freeze", 0.1, 1.0),
            "engine that hangs": lambda: self._harm("freeze", 3.0, 4.0, "recovering"),
        }

    def wait_until_it_plays(self) -> float:
        """Wait for the stems to be heard; return when they were.

        Raises
        ------
        TimeoutError
            They were not.
        """
        began = monotonic()
        self._daemon.wait_for(lambda it: it["state"] == "playing", PATIENCE_S)
        self._bystander.wait_for(lambda it: "heard" in it, PATIENCE_S)  # has peaks of before in it
        heard = self._bystander.wait_for(_plays, PATIENCE_S - (monotonic() - began))
        return float(heard["at"])

    def suffer(self, fault: str) -> float:
        """Have it happen; return the seconds from its end until the stems were heard again."""
        ended = self.faults[fault]()
        return self.wait_until_it_plays() - ended

    def _harm(self, what: str, least_s: float, most_s: float, state: str | None = None) -> float:
        """Have the daemon harmed from within, and wait for the state that it must come to."""
        seconds = self._random.uniform(least_s, most_s)
        self._daemon.tell(f"{what} {seconds}")
        if state is None:
            sleep(seconds)
        else:
            self._daemon.wait_for(lambda it: it["state"] == state, PATIENCE_S)
        return monotonic()

    def _end_server(self, number: signal.Signals) -> float:
        """End it, start another one after a while, and tell when that could be joined."""
        self._server.end(number)
        self._daemon.wait_for(lambda it: it["state"] == "waiting", PATIENCE_S)
        sleep(self._random.uniform(0.2, 4.0))
        before = len(self._bystander.reports)
        self._server.start()
        joined = self._bystander.wait_for(lambda it: "joined" in it, PATIENCE_S, since=before)
        return float(joined["at"])

    def _suspend_server(self) -> float:
        process = self._server.process
        assert process
        process.send_signal(signal.SIGSTOP)
        self._daemon.wait_for(lambda it: it["state"] == "silent", PATIENCE_S)
        process.send_signal(signal.SIGCONT)
        return monotonic()

    def _change_period(self) -> float:
        self._server.set_period(self._random.choice(PERIODS))
        return monotonic()

    def _burden(self) -> float:
        with load(cores=4, megabytes=300):
            sleep(self._random.uniform(1.0, 3.0))
        return monotonic()


def _plays(report: Report) -> bool:
    *stems, _, _ = report.get("heard", [0, 0, 0])  # the last one may be the dry signal
    is_heard = max(stems) > AUDIBLE
    return is_heard and bool(report["connections"] == CONNECTIONS)


def account(daemon: Program, bystander: Program, footprints: Sequence[Footprint]) -> str:
    """Sum up what was counted, over all servers."""
    played = [report for report in daemon.reports if "blocks" in report]
    engines = {report["engine"]: report for report in played}.values()
    graphs = _last_of_each_graph(bystander.reports)
    rows = [
        ("blocks of the networks", sum(it["blocks"]["total"] for it in engines)),
        ("of them late", sum(it["blocks"]["late"] for it in engines)),
        ("frames that the engine owed", sum(it["link"]["late_frames"] for it in engines)),
        ("engines", len(engines)),
        ("servers", len(graphs)),
        ("xruns that the bystander saw", sum(it["xruns"] for it in graphs)),
        ("longest cycle of stemd's", f"{max(it['worst_ns'] for it in played) / 1000:.0f} µs"),
    ]
    for what, unit, numbers in zip(
        ("USS", "threads", "files"), (" MB", "", ""), zip(*footprints, strict=True), strict=True
    ):
        shown = (f"{number:.0f}{unit}" for number in (numbers[0], max(numbers), numbers[-1]))
        rows.append((f"{what} at first, most, last", ", ".join(shown)))
    return markdown_table(("", "counted"), rows)


def _last_of_each_graph(reports: list[Report]) -> list[Report]:
    lasts = []
    for report, following in zip(reports, [*reports[1:], {}], strict=True):
        if "periods" in report and "periods" not in following:
            lasts.append(report)
    return lasts


def main() -> int:
    """Soak; 1 if the daemon did not recover from something."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--server", choices=get_args(Kind), default="jack")
    parser.add_argument("--rate", type=int, default=48_000)
    parser.add_argument("--period", type=int, default=256)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="a fault's name, or the beginning of it")
    wishes = parser.parse_args()
    random = Random(wishes.seed)
    recoveries: dict[str, list[float]] = defaultdict(list)
    footprints: list[Footprint] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        server = stack.enter_context(servers.running(wishes.server, wishes.rate, wishes.period))
        bystander = Program(
            "bystander.py", [server.kind, *STEMS], server.environment, folder / "bystander"
        )
        stack.callback(bystander.end)
        daemon = Program(
            "hostile.py",
            [f"jack.server={server.kind}", "control.socket=off"],
            server.environment,
            folder / "daemon",
        )
        stack.callback(daemon.end)
        soak = Soak(server, daemon, bystander, random)
        chosen = [fault for fault in soak.faults if fault.startswith(wishes.only or "")]
        if not chosen:
            parser.error(f"--only {wishes.only}: the faults are {', '.join(soak.faults)}")
        fault = "the start"
        try:
            soak.wait_until_it_plays()
            sleep(SETTLED_S)
            footprints.append(daemon.footprint())
            until = monotonic() + 60 * wishes.minutes
            while monotonic() < until:
                for fault in random.sample(chosen, len(chosen)):
                    took = soak.suffer(fault)
                    recoveries[fault].append(took)
                    footprints.append(daemon.footprint())
                    print(f"{fault}: plays again after {took:.2f} s", flush=True)
                    sleep(random.uniform(SETTLED_S, SETTLED_S + 1))
        except (TimeoutError, OSError, RuntimeError, CalledProcessError) as error:
            print(f"no recovery from: {fault}\n{error}")
            for program in (daemon, bystander):
                print(f"{program.log.name} said:\n{program.log.read_text()[-3000:]}")
            return 1
        rows = [
            (fault, len(times), f"{median(times):.2f} s", f"{max(times):.2f} s")
            for fault, times in recoveries.items()
        ]
        print(markdown_table(("fault", "times", "plays again after", "at most"), rows))
        print()
        print(account(daemon, bystander, footprints))
    return 0


if __name__ == "__main__":
    sys.exit(main())
