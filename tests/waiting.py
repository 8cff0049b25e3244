"""Waiting, with a limit, for what sends no notice."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from time import monotonic

PATIENCE_S = 60.0
"""Far more than anything takes, on a busy machine that stands still now and then, too."""


def until(holds: Callable[[], object], patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Iterate until a condition holds: the loop's body works towards it."""
    end = monotonic() + patience_s
    while not holds():
        assert monotonic() < end, f"it did not come to pass in {patience_s} s"
        yield


def wait_until(holds: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Look until a condition holds."""
    pause = Event()
    for _ in until(holds, patience_s):
        pause.wait(0.01)


def wait_for(path: Path) -> None:
    """Wait until a path is there."""
    wait_until(path.exists)
