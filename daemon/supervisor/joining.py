"""Joining a server, however long that takes, while the daemon goes on."""

import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep

from stemd.daemon.errors import ServerError, StemdError
from stemd.daemon.graph.client import GraphClient
from stemd.daemon.graph.stale_shm import remove_dead_metadata
from stemd.daemon.supervisor.calls import apart

log = logging.getLogger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 5.0
"""How long to wait between two attempts to join a server, at first and at last."""

HUNG_S = 5.0
"""For how long a server may keep who joins it until that is told."""

STUCK_S = 60.0
"""For how long, until nothing is expected of it any more. The call has not come back then, and what
it waits for in this process may never come, even after the server was restarted."""

LOOK_S = 0.1
"""How often is looked, meanwhile, whether the last server is back, and work is done."""


class Joiner:
    """Joins one server after the other (main thread).

    Parameters
    ----------
    join : callable
        Opens a client, or raises `ServerError` while no server answers.
    work : callable
        Does what else there is to do; called while it waits.
    is_wanted : callable
        Tells whether a server is still wanted.

    Attributes
    ----------
    trouble : str
        Why no server could be joined, while it waits for one; nothing before the first attempt.
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
        """Join a server as soon as one answers; None if it was not to be.

        Raises
        ------
        StemdError
            One has kept us for too long; this process should end, and another may try.
        """
        self.trouble = ""
        remove_dead_metadata()  # which would have us wait for ever
        least_s, wait_s = LOOK_S, FIRST_RETRY_S
        while self._is_wanted():
            try:
                return self._join_patiently()
            except ServerError as error:
                if str(error) != self.trouble:
                    log.warning("waiting for a server: %s", error)
                self.trouble = str(error)
            # Where somebody takes connections, and yet cannot be joined, ever less is tried.
            is_back = self._wait_for_last(least_s, wait_s)
            least_s = min(2 * least_s, LAST_RETRY_S) if is_back else LOOK_S
            wait_s = min(wait_s * 1.5, LAST_RETRY_S)
        return None

    def _join_patiently(self) -> GraphClient | None:
        """Join on a thread of its own: a server that hangs keeps whoever joins it, but not us.

        None if it was not to be; the thread is left behind then.
        """
        joined = apart(self._join, "stemd-join")
        began, is_told = monotonic(), False
        while self._is_wanted():
            with suppress(TimeoutError):
                self._last = joined.result(LOOK_S)
                return self._last
            self._work()
            hung_s = monotonic() - began
            if hung_s > STUCK_S:
                raise StemdError(
                    f"the server takes connections, and has answered nobody for {STUCK_S:.0f} s: "
                    "restart it, then stemd"
                )
            if not is_told and hung_s > HUNG_S:
                is_told = True
                self.trouble = "the server takes connections, and answers nobody: it hangs"
                log.warning(
                    "the server takes connections, and answers nobody: it hangs; waiting for it"
                )
        return None

    def _wait_for_last(self, least_s: float, most_s: float) -> bool:
        """Wait until the last one is back, so long at least and at most; tell whether it is.

        To look for a socket costs less than to try and join.
        """
        began, is_back = monotonic(), False
        while self._is_wanted() and monotonic() - began < (least_s if is_back else most_s):
            sleep(min(LOOK_S, most_s))
            self._work()
            is_back = self._last is not None and self._last.has_server_again()
        return is_back
