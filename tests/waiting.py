"""Waiting for what tells nobody when it comes to pass."""

from pathlib import Path
from threading import Event
from time import monotonic

PATIENCE_S = 30.0


def wait_until(holds, patience_s: float = PATIENCE_S) -> None:
    """Ask again and again."""
    pause, until = Event(), monotonic() + patience_s
    while not holds():
        assert monotonic() < until, "it never came to pass"
        pause.wait(0.01)


def wait_for(path: Path) -> None:
    """Wait until a path is there."""
    wait_until(path.exists)
