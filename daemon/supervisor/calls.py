"""Functions that the main thread calls for other threads, and those it leaves to a thread."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from stemd.daemon.engine.scheduling import steering_thread
from stemd.daemon.errors import StemdError

Result = TypeVar("Result")


MOST_WAITING = 1000
"""Calls that wait; where the main thread hangs, more are refused."""


class Calls:
    """Functions that wait for the main thread to call them.

    Parameters
    ----------
    wake : callable
        Let the main thread look (any thread).
    """

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self._wake = wake
        self._waiting: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._has_ended = False

    def add(self, function: Callable[[], Result]) -> "Future[Result]":
        """Have the main thread call a function (any thread)."""
        future: Future[Result] = Future()
        if len(self._waiting) >= MOST_WAITING:
            future.set_exception(StemdError("stemd is busy: too much waits to be done; try later"))
            return future
        self._waiting.append((function, future))
        if self._has_ended:
            self._refuse()
        self._wake()
        return future

    def handle(self) -> None:
        """Call all that wait (main thread)."""
        while self._waiting:
            function, future = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except Exception as error:  # noqa: BLE001 - it is for the thread that asked
                future.set_exception(error)

    def end(self) -> None:
        """Call those that wait, and refuse all that come later (main thread)."""
        self.handle()
        self._has_ended = True
        self._refuse()

    def _refuse(self) -> None:
        """Refuse those that came too late."""
        with suppress(IndexError):
            while True:
                _, future = self._waiting.popleft()
                if future.set_running_or_notify_cancel():
                    future.set_exception(StemdError("stemd is ending"))


def apart(function: Callable[[], Result], name: str) -> "Future[Result]":
    """Call a function on a thread of its own, which is left behind where it hangs."""
    future: Future[Result] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - it is for the thread that waits
            future.set_exception(error)

    steering_thread(call, name, is_long=True).start()
    return future
