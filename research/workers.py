"""Processes that work for the one that was started."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

PROCESSES = 2


def workers(
    count: int = PROCESSES, prepare: Callable[..., None] | None = None, *arguments: Any
) -> ProcessPoolExecutor:
    """Return a pool, to be left as a context; ``prepare`` is called first in each process.

    By `spawn`, as what is loaded here may have threads.
    """
    return ProcessPoolExecutor(count, get_context("spawn"), _begin, (prepare, arguments))


def _begin(prepare: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the one that was started
    Thread(target=_leave_with_parent, daemon=True).start()
    if prepare:
        prepare(*arguments)


def _leave_with_parent() -> None:
    """End this process when its owner was killed: it would wait for it for ever."""
    if parent := parent_process():
        parent.join()
    os._exit(1)
