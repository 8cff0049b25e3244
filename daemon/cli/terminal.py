"""Prints what the commands have to say, escaped."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import Any

import click

from stemd.daemon.cli.program import as_typed
from stemd.tflite_models.printable import printable


def echo(*lines: str, err: bool = False) -> None:
    """Print lines; what does not print is escaped, newlines too.

    Parameters
    ----------
    *lines : str
    err : bool
        On standard error.
    """
    click.echo("\n".join(map(printable, lines)), err=err)


def echo_json(data: Any, indent: int | None = None) -> None:
    """Print data as JSON, for programs: names are not changed."""
    text = json.dumps(data, indent=indent)
    click.echo(text.replace("\x7f", r"\u007f"))  # of control characters, `dumps` leaves this one


def echo_error(error: Exception) -> None:
    """Print an error as stemd's, each of its lines escaped."""
    echo(*as_typed(f"stemd: {error}").split("\n"), err=True)


PROGRESS_S = 60.0
"""How often there is a line of progress where no bar can be drawn."""


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Draw a progress bar on standard error once there is progress; into a file, a line a minute.

    Yields
    ------
    callable
        Takes how much is done and the whole, in one unit; 0 where the whole is unknown.
    """
    with ExitStack() as stack:
        bars: list[Any] = []

        def show(done: int, whole: int) -> None:
            if not bars:
                bar = click.progressbar(length=whole, label=printable(label), file=sys.stderr)
                bars.append(stack.enter_context(bar))
            bars[0].length = max(whole, done) if whole else None  # a file may declare too little
            bars[0].make_step(done - bars[0].pos)  # a download may begin again
            bars[0].render_progress()

        yield show if sys.stderr and sys.stderr.isatty() else _lines_of_progress(label)


def _lines_of_progress(label: str) -> Callable[[int, int], None]:
    started = last = monotonic()

    def print_line(done: int, whole: int) -> None:
        nonlocal last
        if (now := monotonic()) - last >= PROGRESS_S:
            last = now
            share = f", {min(100 * done // whole, 100)} %" if whole else ""
            echo(f"{label}: {(now - started) / 60:.0f} min{share}", err=True)

    return print_line


BAR = 30
"""Characters of the bar for a whole run."""


class RunProgress:
    """The progress of several songs: a bar for all of them, with lines above it.

    One thread uses it.

    Attributes
    ----------
    is_waiting : bool
        A song that is expected has not ended.
    """

    def __init__(self) -> None:
        self._expected = self._ended = 0
        self._shares: dict[int, float] = {}
        self._has_bar = bool(sys.stderr and sys.stderr.isatty())
        self._drawn = ""
        self._print_line = _lines_of_progress("all songs")

    @property
    def is_waiting(self) -> bool:  # noqa: D102 (described by the class)
        return self._ended < self._expected

    def expect(self, songs: int) -> None:
        """Expect some more songs."""
        self._expected += songs

    def show(self, number: int, share: float) -> None:
        """Show that a share of a song is done."""
        self._shares[number] = share
        self._draw()

    @contextmanager
    def lines(self, number: int) -> Iterator[None]:
        """Take the bar away while a song that has ended gets its lines."""
        self._ended += 1
        self._shares.pop(number, None)
        self.clear()
        yield
        self._draw()

    def clear(self) -> None:
        """Take the bar away."""
        if self._drawn:
            self._drawn = ""
            click.echo("\r\033[K", nl=False, err=True)

    def _draw(self) -> None:
        done = self._ended + sum(self._shares.values())
        if not self._has_bar:
            self._print_line(round(1000 * done), 1000 * self._expected)
            return
        full = int(BAR * done / self._expected)
        bar = "#" * full + "-" * (BAR - full)
        text = f"{self._ended} of {self._expected} songs [{bar}] {done / self._expected:.0%}"
        if text != self._drawn:
            click.echo(f"\r\033[K{text}", nl=False, err=True)
            self._drawn = text
