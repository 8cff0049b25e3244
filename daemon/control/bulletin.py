"""What happens, told to everybody who wants to hear it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeAlias

Event: TypeAlias = dict[str, Any]
"""What happened (``event``), and its details; it can be written as JSON."""


class Bulletin:
    """Hands events to subscribers (any thread)."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._subscribers: list[Callable[[Event], None]] = []

    def publish(self, event: str, **details: Any) -> None:
        """Tell everybody."""
        with self._lock:
            subscribers = list(self._subscribers)
        for tell in subscribers:
            tell({"event": event, **details})

    @contextmanager
    def subscription(self, tell: Callable[[Event], None]) -> Iterator[None]:
        """Have events told as long as the context lasts.

        Parameters
        ----------
        tell : callable
            Takes an event on the thread where it happens. It must not wait.
        """
        with self._lock:
            self._subscribers.append(tell)
        try:
            yield
        finally:
            with self._lock:
                self._subscribers.remove(tell)
