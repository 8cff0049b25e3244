"""The limit on requests to the daemon, over all interfaces together."""

from threading import Lock
from time import monotonic

MESSAGES_PER_S = 500.0
"""Over all interfaces together. Further requests wait, because the music needs the Python
interpreter."""


class Pace:
    """Gives turns at a limited rate, in the order of the requests.

    Parameters
    ----------
    per_s : float
        Turns per second.
    """

    def __init__(self, per_s: float = MESSAGES_PER_S) -> None:
        self._interval_s = 1 / per_s
        self._lock = Lock()
        self._next = float("-inf")

    def take(self) -> float:
        """Take the next turn; return the seconds to wait for it (any thread)."""
        with self._lock:
            now = monotonic()
            self._next = max(self._next + self._interval_s, now)
            return self._next - now
