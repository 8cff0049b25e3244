"""Which ports each pattern of ``jack.autoconnect`` matches, and the nearest names if none."""

import re
from collections.abc import Collection, Iterable, Mapping

from stemd.daemon.control.replies import PortMatches
from stemd.daemon.graph.client import Graph, Port
from stemd.daemon.graph.port_patterns import compiled
from stemd.daemon.ports import INPUTS, MIDI, MIDI_OUT

SHOWN = 50
"""How many ports are listed for each pattern."""

DEFAULT_DEVICE = "system:"
"""Prefix of a sound card's ports in JACK; PipeWire has such aliases for its default device."""

NEAREST = 3
"""How many of the nearest ports are listed if a pattern matches none."""

COMPARED, COMPARED_LENGTH = 256, 128
"""How many names, and how many characters of each, are compared, to limit the time."""

SIMILAR = 0.4
"""From 0 to 1: how similar a name must be to be suggested."""

MONITOR = re.compile(r":monitor_[^:]*$")
"""Ports with which PipeWire lets programs record what the speakers play: seldom the wanted ones."""


def is_match(own: str, text: str, port: Port, defaults: Mapping[str, str]) -> bool:
    """Whether the pattern for one of stemd's ports matches this one, by any of its names.

    ``defaults`` is what `find_defaults` returned.
    """
    if not fits(own, port):
        return False
    names = (port.name, *port.aliases)
    return defaults.get(text) == port.name or any(map(compiled(text).matches, names))


def fits(own: str, port: Port) -> bool:
    """Whether one of stemd's ports can be connected to another program's."""
    is_midi, is_input = own in (MIDI, MIDI_OUT), own in (*INPUTS, MIDI)
    return (port.is_midi, port.is_output) == (is_midi, is_input)


def find_defaults(
    patterns: Mapping[str, str], graph: Graph, there: Collection[str]
) -> dict[str, str]:
    """Return the port of each pattern that names the default device by its alias."""
    texts = {text for text in patterns.values() if text.startswith(DEFAULT_DEVICE)}
    found = {text: graph.find_port(text) for text in texts - set(there)}
    return {text: port.name for text, port in found.items() if port and port.name in there}


def find_matches(
    patterns: Mapping[str, str], ports: Iterable[Port], defaults: Mapping[str, str]
) -> dict[str, PortMatches]:
    """Return what the pattern of each of stemd's ports matches among these ports."""
    found = {}
    ports = sorted(ports, key=lambda port: port.name)
    for own, text in patterns.items():
        names = [port.name for port in ports if is_match(own, text, port, defaults)]
        fitting = [port.name for port in ports if fits(own, port)]
        nearest = [] if names else _nearest(text, fitting)
        found[own] = PortMatches(pattern=text, matches=names[:SHOWN], nearest=nearest)
    return found


def in_words(own: str, found: PortMatches) -> str:
    """Return what a pattern matches, as text for messages."""
    pattern = f"jack.autoconnect.{own}: {found.pattern!r}"
    if found.matches:
        return f"{pattern} matches {', '.join(found.matches)}"
    nearest = f"; the nearest: {', '.join(found.nearest)}" if found.nearest else ""
    return f"{pattern} matches no port{nearest}"


def _nearest(text: str, names: list[str]) -> list[str]:
    """Return the names nearest to a pattern; monitors of speakers only if there are no others."""
    players = [name for name in names if not MONITOR.search(name)]
    return _most_alike(text, players) or _most_alike(text, names)


def _most_alike(text: str, names: list[str]) -> list[str]:
    from difflib import get_close_matches  # which the daemon seldom needs

    cut = {name[:COMPARED_LENGTH].lower(): name for name in names[:COMPARED]}
    plain = text[:COMPARED_LENGTH].lower().replace("\\", "")
    return [cut[each] for each in get_close_matches(plain, cut, NEAREST, SIMILAR)]
