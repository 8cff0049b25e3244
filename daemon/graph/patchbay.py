"""Connects stemd's ports: what to connect when ports appear, and what to restore."""

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set
from concurrent.futures import Future
from itertools import product, zip_longest
from math import inf

from stemd.daemon.control.replies import PortMatches
from stemd.daemon.graph.client import Connection, Graph, Port, PortNotice
from stemd.daemon.graph.feedback import FeedbackFinder
from stemd.daemon.graph.port_matches import find_defaults, find_matches, is_match

log = logging.getLogger(__name__)

PATIENCE_S = 30.0
"""How long connections are tried after a port has appeared: JACK refuses connections of a client
that is not active yet."""

SETTLED_S = 1.0
"""How long after a disconnection it counts as the user's wish: a server or client that ends
normally disconnects its ports before it unregisters them."""

REMEMBERED_S, REMEMBERED = 3 * SETTLED_S, 1000
"""For how long, and how many, notices of the server are remembered."""

TOGETHER_S = 0.05
"""The longest pause, even on a busy machine, between the notices of a client that becomes inactive:
first its connections, one after the other, then its ports. A user is slower."""


class Patchbay:
    """Makes and restores the connections that the user wants (main thread).

    A port is connected when it appears, or when its client becomes active: to the ports that its
    pattern matches, and to those to which it was connected when the last server ended. What a user
    disconnects stays disconnected, until the user connects it again or `follow` is called.

    Parameters
    ----------
    patterns : mapping of own port to pattern
        Which ports to connect it to; see `port_patterns`.

    Attributes
    ----------
    listed_own_ports : set of str
        Full names of stemd's ports, as the server listed them last.
    """

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._patterns = patterns
        self._wires: Mapping[str, str] = {}
        """For each own port that stemd's own loopbacks need, the port at its end."""
        self._tunnels: Mapping[str, str] = {}
        """See `FeedbackFinder`."""
        self._held: str | None = None
        """The loopback that is not to be connected yet."""
        self._ports: dict[str, Port] = {}
        """Known ports of other programs."""
        self._defaults: dict[str, str] = {}
        """For each pattern that names the default device, its port."""
        self.listed_own_ports: Set[str] = set()
        self._own_ports: set[str] = set()
        """Known ports of stemd."""
        self._wanted: dict[Connection, float] = {}
        """Connections that are not made yet, and until when they are tried."""
        self._made: set[Connection] = set()
        """Connections that were made as wanted, and not undone since."""
        self._missed: dict[Connection, float] = {}
        """Connections that were undone recently, and when that was seen."""
        self._taken: set[Connection] = set()
        """Those of them that were undone before their client became inactive."""
        self._were_inactive: dict[Connection, Future[bool]] = {}
        """For missed ones, where the server did not report it: whether their client stopped."""
        self._refused: set[Connection] = set()
        """Connections that a user undid."""
        self._circular: set[Connection] = set()
        """Connections that are not made, since they would lead stemd's output back into it."""
        self._lost: set[Connection] = set()
        """Connections that existed when the last server ended, and are not restored yet."""
        self._unread: list[PortNotice] = []
        """Notices since the graph could be read last."""
        self._recent: deque[PortNotice] = deque(maxlen=REMEMBERED)
        self._seen: deque[tuple[float, set[Connection]]] = deque()
        self._matches: dict[str, PortMatches] | None = None
        """Valid until ports appear or vanish."""

    @property
    def connections(self) -> set[Connection]:
        """The last known connections of stemd's ports."""
        return self._seen[-1][1] if self._seen else set()

    @property
    def disconnected(self) -> set[Connection]:
        """Connections that a user undid, and that are therefore not made again."""
        return set(self._refused)

    @property
    def matches(self) -> dict[str, PortMatches]:
        """The ports that each pattern matches."""
        if self._matches is None:
            self._matches = find_matches(self._patterns, self._ports.values(), self._defaults)
        return self._matches

    def follow(self, patterns: Mapping[str, str]) -> None:
        """Use other patterns, as if all ports appeared now and no connection had been undone."""
        self._patterns = patterns
        self._forget_ports()
        self._made.clear()
        self._refused.clear()
        self._missed.clear()
        self._taken.clear()
        self._circular.clear()

    def wire(self, wires: Mapping[str, str], tunnels: Mapping[str, str]) -> None:
        """Connect ports to those of stemd's own loopbacks too, whenever they appear.

        Parameters
        ----------
        wires : mapping of own port to full name of a port
        tunnels : mapping of program to program
            Which program plays what another one receives; see `FeedbackFinder`.
        """
        self._wires, self._tunnels = wires, tunnels

    def hold(self, program: str | None) -> None:
        """Do not connect one of stemd's own loopbacks; for None, connect them all.

        Connections that exist are left alone.
        """
        released, self._held = self._held, program
        for name in [each for each in self._ports if _program(each) == released != program]:
            del self._ports[name]  # as if it appeared now
            self._matches = None

    def disconnected_at(self, port: str) -> float:
        """Return when a port was disconnected last, as far as that is remembered; else -inf.

        Parameters
        ----------
        port : str
            Its full name; any port of the graph.
        """
        undone = (each for each in self._recent if len(each.ports) == 2 and not each.is_there)
        return max((each.at for each in undone if port in each.ports), default=-inf)

    def look(self, graph: Graph, inputs: Iterable[str], now: float) -> None:
        """Connect ports that have appeared, and remember what is connected.

        Parameters
        ----------
        graph : Graph
        inputs : iterable of str
            Names of stemd's ports that receive audio or MIDI.
        now : float
            Seconds of a monotonic clock.
        """
        self._unread += graph.port_notices()
        there, own = set(graph.port_names()), f"{graph.name}:"
        self.listed_own_ports = own_ports = {port for port in there if port.startswith(own)}
        if not own_ports:  # libjack lists no ports where it cannot read the graph: look later
            return
        notices, self._unread = self._unread, []
        present = graph.connections()
        own_inputs = {own + each for each in inputs}
        self._note_removed(present, now)
        self._judge_removed(graph, there, notices, now)
        is_there = {each.ports[0]: each.is_there for each in notices if len(each.ports) == 1}
        came = {port for port in there if is_there.get(port)}
        appeared = self._note_ports(graph, there - own_ports, own_ports, came - own_ports)
        wanted = {
            each
            for one, other in appeared
            if self._is_wanted(each := (other, one) if one in own_inputs else (one, other), own)
        }
        self._wanted = {
            each: until
            for each, until in (self._wanted | dict.fromkeys(wanted, now + PATIENCE_S)).items()
            if until > now
            and there.issuperset(each)
            and all(is_there.get(port, True) for port in each)
        }
        self._made |= present & self._wanted.keys()
        feedback = FeedbackFinder(
            graph, own_inputs, own_ports - own_inputs, self._ports, self._tunnels
        )
        self._connect(graph, self._wanted.keys() - present, feedback)
        if appeared or present | self._made != self.connections:
            self._undo_loops(graph, feedback)
        for each in self._made:
            self._wanted.pop(each, None)
        self._lost -= self._made
        self._seen.append((now, present | self._made))
        self._forget_before(now)

    def server_went(self, now: float) -> None:
        """Remember the connections for the next server."""
        self._forget_before(now)
        if self._seen:
            self._lost |= self._seen[0][1]
        self._lost |= self._wanted.keys()
        # The next server's default device may be another one.
        self._lost -= {each for each in self._lost if self._pattern_of(each) in self._defaults}
        self._forget_ports()
        self._wanted.clear()
        self._made.clear()
        self._missed.clear()
        self._taken.clear()
        self._circular.clear()
        self._unread.clear()
        self._recent.clear()
        self._seen.clear()

    def _forget_ports(self) -> None:
        self._ports.clear()
        self._defaults.clear()
        self._own_ports.clear()
        self._matches = None

    def _forget_before(self, now: float) -> None:
        """Forget what was seen before `SETTLED_S` ago, except the last of it."""
        while len(self._seen) > 1 and self._seen[1][0] <= now - SETTLED_S:
            self._seen.popleft()

    # ---- connections that were undone ----

    def _note_removed(self, present: set[Connection], now: float) -> None:
        """Note which connections were undone, and which a user made again."""
        restored = present & (self._refused | self._missed.keys())
        self._refused -= restored
        self._taken -= restored
        for each in restored:
            self._missed.pop(each, None)
        removed = self._made - present
        self._made = self._made - removed | restored
        undone = {each for each in removed if not self._is_wire(each)}
        self._missed |= dict.fromkeys(undone, now)

    def _judge_removed(
        self, graph: Graph, there: set[str], notices: list[PortNotice], now: float
    ) -> None:
        """Distinguish connections that a user undid from those that ended with their client."""
        self._recent += notices
        while self._recent and self._recent[0].at < now - REMEMBERED_S:
            self._recent.popleft()
        for each in list(self._missed):
            at = self._end_of(each)
            runs = list(self._runs_with_end_of(each, at)) if graph.reports_activity else []
            if any(first - TOGETHER_S < at < last + TOGETHER_S for first, last in runs):
                del self._missed[each]
            elif any(at < first for first, _ in runs):
                self._taken.add(each)
            elif not there.issuperset(each) and each not in self._taken:
                del self._missed[each]
        self._ask_for_activity(graph)
        settled = self._settled(now)
        by_client = {each for each in settled if self._take_answer(each)}
        by_client |= {
            each for each in settled if any(self._end_together(each, other) for other in by_client)
        }
        for each in settled:
            del self._missed[each]
        self._wanted |= dict.fromkeys(by_client, now + PATIENCE_S)
        self._taken -= settled
        self._refuse(settled - by_client)

    def _settled(self, now: float) -> set[Connection]:
        """Return what was undone, when nothing more has been undone for some time."""
        if any(now - at < SETTLED_S for at in self._missed.values()):
            return set()
        asked = self._were_inactive
        return {each for each in self._missed if each not in asked or asked[each].done()}

    def _take_answer(self, connection: Connection) -> bool:
        """Return whether its client was found to have been inactive; an answer counts once."""
        answer = self._were_inactive.pop(connection, None)
        return answer is not None and answer.result()

    def _end_together(self, one: Connection, other: Connection) -> bool:
        """Whether two connections of one program ended at once; the answers need not agree.

        The program may be active again when the question for the second one is asked.
        """
        is_of_both = {*map(_program, one)} == {*map(_program, other)}
        return is_of_both and abs(self._end_of(one) - self._end_of(other)) < TOGETHER_S

    def _end_of(self, connection: Connection) -> float:
        """Return when it was undone, as the server reported; that may be after it was seen."""
        for notice in reversed(self._recent):
            if notice.ports == connection:
                return self._missed[connection] if notice.is_there else notice.at
        return self._missed[connection]

    def _runs_with_end_of(
        self, connection: Connection, undone: float
    ) -> Iterator[tuple[float, float]]:
        """Yield first and last time of each run of notices in which one of its ports vanished.

        A port that vanished before the connection was made, or before it appeared again, does not
        count.
        """
        recent = list(self._recent)
        begun = (each.at for each in recent if each.begins(connection))
        since = max((at for at in begun if at <= undone), default=-inf)
        run: list[PortNotice] = []
        for notice, following in zip_longest(recent, recent[1:]):
            run.append(notice)
            if following is None or following.at - notice.at >= TOGETHER_S:
                if any(each.ends_port_of(connection) and each.at >= since for each in run):
                    yield run[0].at, notice.at
                run = []

    def _refuse(self, connections: set[Connection]) -> None:
        self._refused |= connections
        if connections:
            log.warning(
                "disconnected, not by stemd, and left so: %s; connect it again by hand, or "
                "`stemd reload` connects what jack.autoconnect says",
                in_words(connections),
            )

    def _ask_for_activity(self, graph: Graph) -> None:
        """Begin to find out which clients were inactive when their connections were undone."""
        asked = {each: it for each, it in self._were_inactive.items() if each in self._missed}
        new = self._missed.keys() - asked.keys()
        for program in {_program(port) for each in new for port in each} - {graph.name}:
            of_it = [each for each in new if program in map(_program, each)]
            since = min(map(self._end_of, of_it))
            asked |= dict.fromkeys(of_it, graph.was_inactive(program, since))
        self._were_inactive = asked

    # ---- what is to be connected ----

    def _note_ports(
        self, graph: Graph, others: set[str], own_ports: set[str], came: set[str]
    ) -> set[tuple[str, str]]:
        """Note the existing ports; return the pairs, stemd's port first, that have a new one."""
        for name in self._ports.keys() - others:
            del self._ports[name]
            self._matches = None
        new = (others - self._ports.keys()) | came
        for name in new:
            if port := graph.find_port(name):
                self._ports[name] = port
                self._matches = None
        new |= self._note_defaults(graph)
        known = self._ports.keys()
        pairs = {*product(own_ports, new & known), *product(own_ports - self._own_ports, known)}
        self._own_ports = own_ports
        return pairs

    def _note_defaults(self, graph: Graph) -> set[str]:
        """Note the default device's ports; return them if the device has changed."""
        known = {text: name for text, name in self._defaults.items() if name in self._ports}
        now = find_defaults(self._patterns, graph, self._ports)
        found = known | {text: name for text, name in now.items() if not self._is_of_device(name)}
        moved = {text: name for text, name in found.items() if name != self._defaults.get(text)}
        for each in [each for each in self._made if self._pattern_of(each) in moved]:
            graph.disconnect(each)
            self._made.discard(each)
        for each in [each for each in self._wanted if self._pattern_of(each) in moved]:
            del self._wanted[each]
        self._defaults = found
        if moved:
            self._matches = None
        return set(moved.values())

    def _pattern_of(self, connection: Connection) -> str | None:
        ours = connection[0 if connection[0] in self._own_ports else 1]
        return self._patterns.get(ours.partition(":")[2])

    def _is_wire(self, connection: Connection) -> bool:
        ours, other = connection if connection[0] in self._own_ports else reversed(connection)
        return self._wires.get(ours.partition(":")[2]) == other

    def _is_wanted(self, connection: Connection, own: str) -> bool:
        if self._is_wire(connection):
            return not any(_program(port) == self._held for port in connection)
        if connection in self._refused or connection in self._missed:
            return False
        ours, other = connection if connection[0].startswith(own) else reversed(connection)
        return connection in self._lost or self._is_match(ours.removeprefix(own), other)

    def _is_of_device(self, port: str) -> bool:
        """Whether a port belongs to stemd's own loopbacks, to which no pattern leads."""
        return _program(port) in {*self._tunnels.keys(), *self._tunnels.values()}

    def _is_match(self, name: str, other: str) -> bool:
        text = self._patterns.get(name)
        if text is None or self._is_of_device(other):
            return False
        return is_match(name, text, self._ports[other], self._defaults)

    def _connect(
        self, graph: Graph, missing: Iterable[Connection], feedback: FeedbackFinder
    ) -> None:
        """Make connections, except guesses that would close a loop."""
        for each in sorted(missing):
            if self._is_guess(each) and feedback.has_loop_with(each, self._guesses(feedback)):
                self._note_circular(each)
            elif graph.connect(each):
                log.info("connected %s to %s", *each)
                self._made.add(each)

    def _undo_loops(self, graph: Graph, feedback: FeedbackFinder) -> None:
        """Undo guesses that close a loop now; with loopbacks that are there, also the inputs'."""
        guesses = self._guesses(feedback)
        inputs = {each for each in self._made - guesses if self._wires and self._is_guess(each)}
        for each in [*sorted(guesses), *sorted(inputs)]:
            if feedback.has_loop_with(each):
                graph.disconnect(each)
                self._made.discard(each)
                self._note_circular(each)

    def _guesses(self, feedback: FeedbackFinder) -> set[Connection]:
        """Return the connections from stemd's outputs to ports that an expression matched."""
        return {each for each in self._made if each[0] in feedback.outputs and self._is_guess(each)}

    def _is_guess(self, connection: Connection) -> bool:
        """Whether a pattern matches the port, and is not its name."""
        if self._is_wire(connection):
            return False
        ours, other = connection if connection[0] in self._own_ports else reversed(connection)
        port, name = self._ports.get(other), ours.partition(":")[2]
        if port is None or self._patterns.get(name) in (other, *port.aliases):
            return False
        return self._is_match(name, other)

    def _note_circular(self, connection: Connection) -> None:
        if connection not in self._circular:
            self._circular.add(connection)
            log.warning(
                "not connected: %s to %s, which leads back into stemd; if that is wanted, "
                "jack.autoconnect must have the port's own name",
                *connection,
            )


def in_words(connections: Iterable[Connection]) -> str:
    """Return connections as text for messages."""
    return ", ".join(f"{source} to {destination}" for source, destination in sorted(connections))


def _program(port: str) -> str:
    return port.partition(":")[0]
