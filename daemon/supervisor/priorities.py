"""Keeping stemd's threads below the server's."""

import logging

from stemd.daemon.engine.realtime import Counters
from stemd.daemon.engine.rights import Notice
from stemd.daemon.engine.scheduling import (
    NORMAL,
    Priorities,
    keep_scheduled,
    permitted_by_rtkit,
    priorities_below,
    set_steering_priority,
)

log = logging.getLogger(__name__)


class PriorityFollower:
    """Follows the priority of the server's thread, and logs what is granted (main thread)."""

    def __init__(self) -> None:
        self._server = (NORMAL, NORMAL)
        """The server's priority, and what rtkit permits."""
        self._notice = Notice()

    def look(self, counters: Counters, now: float) -> Priorities | None:
        """Return the priorities to take from now on; None where nothing has changed."""
        server = counters.priority, permitted_by_rtkit()
        if keep_scheduled(now):
            log.warning("a thread ran for longer than rtkit permits: it has its priority no more")
        if server == self._server:
            return None
        self._server = server
        priorities = priorities_below(counters.priority)
        set_steering_priority(priorities.steering)
        return priorities

    def log_granted(self, counters: Counters, now: float, are_networks_lowered: bool) -> None:
        """Log what is granted, once that has settled."""
        if counters.periods:
            self._notice.look(counters.priority, now, are_networks_lowered)

    def close(self) -> None:
        """Take real-time priority from the threads that steer."""
        set_steering_priority(NORMAL)
