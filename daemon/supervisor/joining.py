"""Joins a server, and retries until one answers, while the main thread works on."""

import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep

from stemd.daemon.errors import ServerError, StemdError
from stemd.daemon.graph.client import GraphClient
from stemd.daemon.graph.stale_shm import remove_dead_metadata
from stemd.daemon.supervisor.calls import apart
from stemd.daemon.supervisor.health import AttendedClock

log = logging.getLogger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 5.0
"""Seconds until stemd retries to join or to reconnect to a server: the first time, and at most."""

RETRY_GROWTH = 1.5
"""How many times longer each wait is than the one before."""

HUNG_S = 5.0
"""Seconds after which stemd reports that a server that has not let it join hangs."""

STUCK_S = 60.0
"""Seconds after which the daemon ends: the call to the server has not returned, and in this process
it may never return, even after a restart of the server."""

LOOK_S = 0.1
"""Seconds between two checks whether the last server is back; other work is done in between."""


class Joiner:
    """Joins one server after the other (main thread).

    Parameters
    ----------
    join : callable
        Open a client; `ServerError` while no server answers.
    work : callable
        Do all other work; called while the joiner waits.
    is_wanted : callable
        Whether a server is still wanted.

    Attributes
    ----------
    trouble : str
        Why no server could be joined, while the joiner waits; empty before the first attempt.
    """

    def __init__(
        self,
        join: Callable[[], GraphClient],
        work: Callable[[], None],
        is_wanted: Callable[[], bool],
    ) -> None:
        self._join = join
        self._work = work
        self._is_wanted = is_wanted
        self._last: GraphClient | None = None
        self.trouble = ""

    def wait(self) -> GraphClient | None:
        """Join a server as soon as one answers; None if none is wanted any more.

        Raises
        ------
        StemdError
            A server hangs; this process should end, and another may try.
        """
        self.trouble = ""
        remove_dead_metadata()  # which would make libjack wait for ever
        least_s, wait_s = LOOK_S, FIRST_RETRY_S
        while self._is_wanted():
            try:
                return self._join_patiently()
            except ServerError as error:
                if str(error) != self.trouble:
                    log.warning("waiting for a server: %s", error)
                self.trouble = str(error)
            # A server that is back, and yet cannot be joined, is tried less often each time.
            is_back = self._wait_for_last(least_s, wait_s)
            least_s = min(2 * least_s, LAST_RETRY_S) if is_back else LOOK_S
            wait_s = min(wait_s * RETRY_GROWTH, LAST_RETRY_S)
        return None

    def _join_patiently(self) -> GraphClient | None:
        """Join on another thread, so that a server that hangs blocks only that thread.

        Return None if no server is wanted any more; the thread then stays until the call returns.
        """
        joined = apart(self._join, "stemd-join")
        clock, is_told = AttendedClock(), False
        while self._is_wanted():
            hung_s = clock.at(monotonic())
            with suppress(TimeoutError):
                self._last = joined.result(LOOK_S)
                return self._last
            self._work()
            if hung_s > STUCK_S:
                raise StemdError(
                    f"the server takes connections, but has not answered for {STUCK_S:.0f} s: "
                    "restart it, then stemd"
                )
            if not is_told and hung_s > HUNG_S:
                is_told = True
                self.trouble = "the server takes connections, but does not answer: it hangs"
                log.warning(
                    "the server takes connections, but does not answer: it hangs; waiting for it"
                )
        return None

    def _wait_for_last(self, least_s: float, most_s: float) -> bool:
        """Wait for the last server, between ``least_s`` and ``most_s``; return whether it is back.

        Looking for its socket costs less than trying to join.
        """
        began, is_back = monotonic(), False
        while self._is_wanted() and monotonic() - began < (least_s if is_back else most_s):
            sleep(min(LOOK_S, most_s))
            self._work()
            is_back = self._last is not None and self._last.has_server_again()
        return is_back
