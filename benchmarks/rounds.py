"""Measurements taken in turns, so that what else the machine does falls on all alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter, process_time
from typing import NamedTuple, TypeVar

Name = TypeVar("Name")
Result = TypeVar("Result")


class Seconds(NamedTuple):
    """How long something took."""

    wall: float
    cpu: float
    """Of all threads of the process."""


@dataclass(frozen=True)
class Ratio:
    """How many times as much one took as the other, over the rounds."""

    median: float
    low: float
    """Quartile below; half of the rounds lie between this one and the other."""
    high: float
    """Quartile above."""

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} … {self.high:.2f})"


def in_turns(rivals: Mapping[Name, Callable[[], Result]], rounds: int) -> dict[Name, list[Result]]:
    """Call each once a round, every other round backwards; give their results by name.

    Backwards, because what grows steadily (heat, another's load) would always fall on the last.
    """
    results: dict[Name, list[Result]] = {name: [] for name in rivals}
    order = list(rivals)
    for _ in range(rounds):
        for name in order:
            results[name].append(rivals[name]())
        order.reverse()
    return results


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Compare round by round, since only neighbours met the same machine: theirs over ours."""
    each = [slow / fast for fast, slow in zip(ours, theirs, strict=True)]
    low, _, high = quantiles(each, n=4, method="inclusive")
    return Ratio(median(each), low, high)


def clocked(work: Callable[[], object]) -> Callable[[], Seconds]:
    """Return a function that does some work and returns how long it takes."""

    def run() -> Seconds:
        wall, cpu = perf_counter(), process_time()
        work()
        return Seconds(perf_counter() - wall, process_time() - cpu)

    return run
