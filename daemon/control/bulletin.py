"""Events, handed to subscribers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from stemd.daemon.control.events import Event


class Bulletin:
    """Hands events to subscribers (any thread)."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._subscribers: list[Callable[[Event], None]] = []

    def publish(self, event: Event) -> None:
        """Hand an event to all subscribers."""
        with self._lock:
            subscribers = list(self._subscribers)
        for notify in subscribers:
            notify(event)

    @contextmanager
    def subscription(self, notify: Callable[[Event], None]) -> Iterator[None]:
        """Receive events while the context lasts.

        Parameters
        ----------
        notify : callable
            Takes an event, on the thread that publishes it. It must not wait.
        """
        with self._lock:
            self._subscribers.append(notify)
        try:
            yield
        finally:
            with self._lock:
                self._subscribers.remove(notify)
