"""Checks of the audio servers, their client libraries and the ports, for `stemd doctor`."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from stemd.daemon.control.replies import PortMatches
from stemd.daemon.engine.checks import MAY_DROP_OUT, is_granted
from stemd.daemon.engine.realtime import RealtimeSide
from stemd.daemon.engine.rights import why_refused
from stemd.daemon.engine.scheduling import NORMAL, wanted_below
from stemd.daemon.errors import ServerError, StemdError
from stemd.daemon.findings import Finding, bad, good, hint
from stemd.daemon.graph import libjack
from stemd.daemon.graph.client import Graph, GraphClient
from stemd.daemon.graph.jack import open_client
from stemd.daemon.graph.port_matches import find_defaults, find_matches, in_words
from stemd.daemon.graph.server_obstacles import find_obstacles, find_strangers

FIRST_CYCLE_S = 1.0
"""How long a server may take until its first call of stemd."""


@dataclass(frozen=True)
class _Joined:
    """A server whose graph was joined for a moment.

    Attributes
    ----------
    in_words : str
        Its name, rate and period.
    period : int
        Frames.
    has_called : bool
    priority : int
        Of its thread.
    matches : dict
        What the patterns of ``jack.autoconnect`` match.
    """

    in_words: str
    period: int
    has_called: bool
    priority: int
    matches: dict[str, PortMatches]


def check_libraries() -> Iterator[Finding]:
    """Yield the client libraries that are installed."""
    for library in libjack.libraries():
        yield good("client library", f"{library.version} ({library.path})")


def check_server(
    kind: str, name: str | None, longest_period: int, patterns: Mapping[str, str]
) -> Iterator[Finding]:
    """Join the graph of a server for a moment, and judge it; yield nothing if none answers.

    A server that hangs blocks the caller.

    Parameters
    ----------
    kind : str
        "jack" or "pipewire".
    name : str, optional
        jack.server_name.
    longest_period : int
        jack.longest_period.
    patterns : mapping
        jack.autoconnect.
    """
    try:
        client = open_client("stemd-doctor", kind, name)
    except ServerError:
        return
    try:
        joined = _look(client, patterns)
    except ServerError as error:
        yield hint("server", str(error))
        return
    finally:
        with suppress(StemdError):  # it hangs: what was found is reported all the same
            client.close()
    yield _judge_priority(joined)
    if joined.period > longest_period:
        yield hint(
            "server",
            f"its periods of {joined.period} frames are longer than jack.longest_period "
            f"({longest_period})",
            "the delay becomes longer by them: make the periods shorter, or raise the key so "
            "that the delay is the same from the start",
        )
    yield from judge_matches(joined.matches)


def _look(client: GraphClient, patterns: Mapping[str, str]) -> _Joined:
    rt = RealtimeSide(0, 0, client.samplerate)
    client.bind(rt.callbacks, [], [])
    client.activate()
    until = monotonic() + FIRST_CYCLE_S + client.period / client.samplerate
    # PipeWire's thread has its priority some time after its first cycle.
    while rt.counters().priority == NORMAL and monotonic() < until:
        rt.wait_events(FIRST_CYCLE_S / 10)
    counters = rt.counters()
    period = counters.period or client.period
    return _Joined(
        f"{client.server}, {client.samplerate} Hz, {period} frames a period",
        period,
        counters.periods > 0,
        counters.priority,
        _matches(client.graph, patterns) if patterns else {},
    )


def _matches(graph: Graph, patterns: Mapping[str, str]) -> dict[str, PortMatches]:
    ports = {name: port for name in graph.port_names() if (port := graph.find_port(name))}
    return find_matches(patterns, ports.values(), find_defaults(patterns, graph, ports))


def _judge_priority(joined: _Joined) -> Finding:
    """Judge whether the server plays, and with the priority that stemd needs below it."""
    what, priority = joined.in_words, joined.priority
    if not joined.has_called:
        return hint("server", f"{what}, but it does not play", "is it suspended, or stopped?")
    if priority == NORMAL:
        return hint(
            "server",
            f"{what}, without real-time priority: {MAY_DROP_OUT}",
            why_refused(NORMAL)[1],
        )
    wanted = wanted_below(priority)
    if not is_granted(wanted.engine):
        reason, remedy = why_refused(priority)
        return hint(
            "server",
            f"{what}, real-time priority {priority}, but stemd may not have the "
            f"{wanted.engine} that it wants below it: {reason}; {MAY_DROP_OUT}",
            remedy,
        )
    if wanted.workers == NORMAL:
        reason, remedy = why_refused(priority)
        return hint("server", f"{what}: {reason}; {MAY_DROP_OUT}", remedy)
    return good("server", f"{what}, real-time priority {priority}")


def check_absence(server: str, name: str | None) -> Iterator[Finding]:
    """Yield why none of the wanted servers answers.

    Parameters
    ----------
    server, name
        See `server_obstacles.no_server`.
    """
    libraries = {library.kind for library in libjack.libraries()}
    if server == "dummy" and "jack" in libraries:
        return
    obstacles = find_obstacles(server, name, libraries)
    for obstacle in obstacles:
        if obstacle.is_library:
            yield bad("client library", f"{obstacle.found}: {obstacle.remedy}")
        else:
            yield bad("server", obstacle.found, obstacle.remedy)
    if not obstacles:
        yield bad(
            "server",
            "none answers",
            "start JACK or PipeWire; stemd run waits for one (stemd run --server dummy plays on "
            "a private one without a sound card)",
        )
        for stranger in find_strangers(server):
            yield hint("other users", stranger.found, stranger.remedy)


def judge_matches(found: Mapping[str, PortMatches]) -> Iterator[Finding]:
    """Judge what the patterns of ``jack.autoconnect`` match."""
    for own, each in found.items():
        if each.matches:
            yield good("connections", in_words(own, each))
        else:
            remedy = (
                "is the program running? `jack_lsp` lists the names of all ports, on PipeWire "
                "`pw-jack jack_lsp` (Debian: apt install jack-example-tools)"
            )
            yield hint("connections", in_words(own, each), remedy)


def judge_disconnected(pairs: list[tuple[str, str]]) -> Iterator[Finding]:
    """Judge the connections that were undone by hand, each a pair of source and destination."""
    for source, destination in pairs:
        yield hint(
            "connections",
            f"{source} to {destination} was disconnected, and is left so",
            "connect it again by hand, or run `stemd reload`",
        )
