"""Programs that print lines of JSON, and those that only load the machine."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition, Thread
from time import monotonic
from typing import Any, NamedTuple

HERE = Path(__file__).parent

Report = dict[str, Any]

SPINNER = "while True: pass"

MEMORY_HOG = """
import time
while True:
    block = bytearray({megabytes} << 20)
    block[::4096] = b"x" * len(block[::4096])
    del block
    time.sleep(0.01)
"""


class Footprint(NamedTuple):
    """What a process has for itself."""

    uss_mb: float
    threads: int
    files: int


class Program:
    """One of the Python programs beside this file, and what it has printed so far.

    Parameters
    ----------
    name : str
        Of its file.
    arguments : sequence of str
    environment : mapping
    log : Path
        Where its standard error goes.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        with log.open("w") as chatter:
            self.process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", HERE / name, *arguments],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=chatter,
                text=True,
            )
        self.log = log
        self.reports: list[Report] = []
        self._news = Condition()
        self._ended = False
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin
        print(line, file=self.process.stdin, flush=True)

    def wait_for(
        self, holds: Callable[[Report], object], timeout_s: float, since: int | None = None
    ) -> Report:
        """Wait for a report of which something holds.

        Parameters
        ----------
        holds : callable
        timeout_s : float
        since : int, optional
            The number of reports that do not count; by default all that there are now.

        Raises
        ------
        TimeoutError
            There was none, and perhaps the program has ended.
        """
        with self._news:
            until = monotonic() + timeout_s
            seen = len(self.reports) if since is None else since
            while True:
                for report in self.reports[seen:]:
                    if holds(report):
                        return report
                seen = len(self.reports)
                if not self._news.wait(until - monotonic()) or self._ended:
                    last = self.reports[-1] if self.reports else None
                    raise TimeoutError(
                        f"{self.log.name} reported nothing of the kind within {timeout_s:.0f} s; "
                        f"its exit code is {self.process.poll()}, its last report {last}"
                    )

    def footprint(self) -> Footprint:
        """Look at what the process has for itself."""
        folder = Path("/proc") / str(self.process.pid)
        lines = (folder / "smaps_rollup").read_text().splitlines()[1:]
        private = sum(int(line.split()[1]) for line in lines if line.startswith("Private"))
        threads, files = (len(list((folder / what).iterdir())) for what in ("task", "fd"))
        return Footprint(private / 1024, threads, files)

    def end(self) -> None:
        """Ask it to end, and wait."""
        with suppress(BrokenPipeError), self.process:  # a line that it has not read
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
            self._reader.join(5)

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._news, suppress(ValueError):  # a line that its end has cut off
                self.reports.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


@contextmanager
def load(cores: int, megabytes: int) -> Iterator[None]:
    """Keep so many cores busy, and so much memory coming and going, while the context lasts."""
    commands = [SPINNER] * cores + [MEMORY_HOG.format(megabytes=megabytes)] * bool(megabytes)
    processes = [subprocess.Popen([sys.executable, "-c", command]) for command in commands]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
