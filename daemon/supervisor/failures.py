"""When failures end the daemon: too many of them, or too much memory that hangs."""

import logging
from collections import deque

from stemd.daemon.engine.separation import Separation
from stemd.daemon.errors import StemdError
from stemd.daemon.supervisor.live import Live

log = logging.getLogger(__name__)

FAILURES, FAILURES_S = 5, 60.0
"""So many separations that fail within so many seconds end the daemon."""

LEFT_BEHIND = 1
"""How many separations may hang at once: each keeps a set of networks in memory."""


class Failures:
    """Counts separations that fail."""

    def __init__(self) -> None:
        self._failed_at: deque[float] = deque(maxlen=FAILURES)

    def count(self, trouble: str, now: float) -> None:
        """Log a failure.

        Raises
        ------
        StemdError
            There were too many lately.
        """
        log.error("the separation failed: %s; the input is heard until it recovers", trouble)
        self._failed_at.append(now)
        if len(self._failed_at) == FAILURES and now - self._failed_at[0] < FAILURES_S:
            raise StemdError(
                f"the separation failed {FAILURES} times within {FAILURES_S:.0f} s, the last time: "
                f"{trouble}"
            )


class LeftBehind:
    """Separations that hang, and keep their memory (one thread adds, the main thread checks)."""

    def __init__(self) -> None:
        self._separations: list[Separation] = []

    def end(self, live: Live) -> None:
        """End a separation, and remember it if it hangs (any thread)."""
        if not live.end():
            self._separations.append(live.separation)

    def check(self) -> None:
        """Forget the separations that have ended since.

        Raises
        ------
        StemdError
            Too many hang.
        """
        self._separations = [each for each in self._separations if each.is_running]
        if len(self._separations) > LEFT_BEHIND:
            raise StemdError(
                "the networks hang again and again, and what hangs keeps its memory: restart "
                "stemd; stemd models verify checks the networks"
            )
