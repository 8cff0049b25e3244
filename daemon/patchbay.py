"""Who is connected to us: what to connect when ports appear, and what to restore."""

import logging
from collections import deque
from collections.abc import Iterable, Mapping
from re import Pattern

from stemd.daemon.graph import Connection, GraphClient

log = logging.getLogger(__name__)

SETTLED_S = 1.0
"""How long before its server's end a connection must have been there to be restored: a server
that ends in good order takes them down first."""


class Patchbay:
    """Makes connections as the user wishes, from one server to the next.

    A port is connected when it appears: to what its pattern matches, and to what it was connected
    to when the last server went away. What a user disconnects stays so.

    Parameters
    ----------
    patterns : mapping of own port to pattern
        Of the whole names of ports to connect it to.
    """

    def __init__(self, patterns: Mapping[str, Pattern[str]]) -> None:
        self._patterns = patterns
        self._known: set[str] = set()
        self._made: set[Connection] = set()
        """By us, and not taken down by anybody."""
        self._refused: set[Connection] = set()
        """Taken down by a user."""
        self._lost: set[Connection] = set()
        """There when the last server went away, and not restored yet."""
        self._seen: deque[tuple[float, set[Connection]]] = deque()

    def look(self, client: GraphClient, inputs: Iterable[str], now: float) -> None:
        """Connect what has appeared, and remember what is connected.

        Parameters
        ----------
        client : GraphClient
        inputs : iterable of str
            Own ports that take audio.
        now : float
            Seconds of a monotonic clock.
        """
        there = set(client.port_names())
        present = client.connections()
        self._refused |= {each for each in self._made - present if there.issuperset(each)}
        self._made &= present
        own = f"{client.name}:"
        for port in sorted(there - self._known):
            if not port.startswith(own):
                present |= self._greet(client, port, set(inputs), there)
        self._known = there
        self._seen.append((now, present))
        self._forget_before(now)

    def server_went(self, now: float) -> None:
        """Remember what was connected, for the next server."""
        self._forget_before(now)
        if self._seen:
            self._lost |= self._seen[0][1]
        self._known.clear()
        self._made.clear()
        self._seen.clear()

    def _forget_before(self, now: float) -> None:
        """Keep what was seen lately, and what was seen last before that."""
        while len(self._seen) > 1 and self._seen[1][0] <= now - SETTLED_S:
            self._seen.popleft()

    def _greet(
        self, client: GraphClient, foreign: str, inputs: set[str], there: set[str]
    ) -> set[Connection]:
        """Connect a port that has appeared; return what was connected."""
        wanted = {each for each in self._lost if foreign in each and there.issuperset(each)}
        self._lost -= wanted
        for port, pattern in self._patterns.items():
            own = f"{client.name}:{port}"
            if own in there and pattern.fullmatch(foreign):
                wanted.add((foreign, own) if port in inputs else (own, foreign))
        made = {each for each in wanted - self._refused if client.connect(each)}
        for source, destination in sorted(made):
            log.info("connected %s to %s", source, destination)
        self._made |= made
        return made
