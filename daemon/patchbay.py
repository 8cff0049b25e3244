"""Who is connected to us: what to connect when ports appear, and what to restore."""

import logging
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import product
from re import Pattern

from stemd.daemon.graph import Connection, GraphClient

log = logging.getLogger(__name__)

PATIENCE_S = 30.0
"""For how long after a port has appeared its connections are tried: JACK refuses those of a client
that is not active yet."""

INSIST_S = 2.0
"""For how long then they are made again: JACK forgets them when the client becomes active."""

SETTLED_S = 1.0
"""After so long what happened to a connection is taken for somebody's wish: a server, or another
client, that ends in good order takes its connections down before its ports."""


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
        self._wanted: dict[Connection, float] = {}
        """Of ports that have just appeared, and until when they are insisted on."""
        self._made: set[Connection] = set()
        """By us, and not taken down by anybody."""
        self._missed: dict[Connection, float] = {}
        """Taken down, and since when."""
        self._refused: set[Connection] = set()
        """Taken down by a user."""
        self._lost: set[Connection] = set()
        """There when the last server went away, and not restored yet."""
        self._seen: deque[tuple[float, set[Connection]]] = deque()

    @property
    def connections(self) -> set[Connection]:
        """Those of our ports, as they were seen last."""
        return self._seen[-1][1] if self._seen else set()

    def follow(self, patterns: Mapping[str, Pattern[str]]) -> None:
        """Go by other patterns, as if all ports appeared just now."""
        self._patterns = patterns
        self._known.clear()

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
        self._wanted = {
            each: until
            for each, until in self._wanted.items()
            if until > now and there.issuperset(each)
        }
        self._note_restored(present)
        removed = self._made - present - self._wanted.keys()
        self._made -= removed
        self._missed |= dict.fromkeys(removed, now)
        self._refuse_missed(there, now)
        own = f"{client.name}:"
        ours = {port for port in there if port.startswith(own)}
        for port in there - self._known:
            pairs = product(ours, [port]) if port not in ours else product([port], there - ours)
            wanted = self._wanted_among(pairs, {own + each for each in inputs})
            self._wanted |= dict.fromkeys(wanted, now + PATIENCE_S)
        self._known = there
        made = self._connect(client, self._wanted.keys() - present)
        for each in made:
            self._wanted[each] = min(self._wanted[each], now + INSIST_S)
        present |= made
        self._seen.append((now, present))
        self._forget_before(now)

    def server_went(self, now: float) -> None:
        """Remember what was connected, for the next server."""
        self._forget_before(now)
        if self._seen:
            self._lost |= self._seen[0][1]
        self._lost |= self._wanted.keys()
        self._known.clear()
        self._wanted.clear()
        self._made.clear()
        self._missed.clear()
        self._seen.clear()

    def _note_restored(self, present: set[Connection]) -> None:
        """Forget of what a user has made again that it was ever taken down."""
        restored = present & (self._refused | self._missed.keys())
        self._made |= restored
        self._refused -= restored
        for each in restored:
            self._missed.pop(each, None)

    def _refuse_missed(self, there: set[str], now: float) -> None:
        """Tell what a user took down from what went with its client."""
        self._missed = {
            each: since for each, since in self._missed.items() if there.issuperset(each)
        }
        settled = {each for each, since in self._missed.items() if now - since >= SETTLED_S}
        self._refused |= settled
        for each in settled:
            del self._missed[each]

    def _forget_before(self, now: float) -> None:
        """Keep what was seen lately, and what was seen last before that."""
        while len(self._seen) > 1 and self._seen[1][0] <= now - SETTLED_S:
            self._seen.popleft()

    def _wanted_among(self, pairs: Iterable[tuple[str, str]], inputs: set[str]) -> set[Connection]:
        """Tell which of our ports, each with a foreign one, are to be connected."""
        wanted = set()
        for ours, foreign in pairs:
            connection = (foreign, ours) if ours in inputs else (ours, foreign)
            pattern = self._patterns.get(ours.partition(":")[2])
            if connection in self._lost or (pattern and pattern.fullmatch(foreign)):
                wanted.add(connection)
        self._lost -= wanted
        return wanted - self._refused - self._missed.keys()

    def _connect(self, client: GraphClient, missing: Iterable[Connection]) -> set[Connection]:
        """Make connections; return those that could be made."""
        made = {each for each in sorted(missing) if client.connect(each)}
        for source, destination in sorted(made - self._made):
            log.info("connected %s to %s", source, destination)
        self._made |= made
        return made
