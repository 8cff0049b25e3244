"""Waiting for what tells nobody when it comes to pass."""

from pathlib import Path
from threading import Event

PATIENCE_S = 30.0


def wait_until(holds, patience_s: float = PATIENCE_S) -> None:
    """Ask again and again."""
    pause = Event()
    for _ in range(int(patience_s / 0.01)):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError("it never came to pass")


def wait_for(path: Path) -> None:
    """Wait until a path is there."""
    wait_until(path.exists)
