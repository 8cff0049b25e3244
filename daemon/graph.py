"""An audio server's graph as the daemon sees it; `jack_graph` is the real one."""

from collections.abc import Callable, Mapping, Sequence
from re import Pattern
from typing import Protocol

from stemd.daemon.realtime import RealtimeSide


class GraphClient(Protocol):
    """The daemon's place in an audio server's graph, from opening to closing.

    Attributes
    ----------
    name : str
        What the server calls the client.
    server : str
        Which server it is, in words.
    samplerate : int
        Frames per second.
    blocksize : int
        Frames in a period.
    """

    name: str
    server: str
    samplerate: int
    blocksize: int

    def bind(self, rt: RealtimeSide, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Register the ports, stereo pairs in order, and hand their buffers to ``rt``."""

    def activate(self, on_shutdown: Callable[[str], None]) -> None:
        """Let the server call; ``on_shutdown`` is told the reason when the server goes away."""

    def autoconnect(self, patterns: Mapping[str, Pattern[str]]) -> None:
        """Connect own ports to every port whose full name the port's pattern matches.

        Ports that appear later are connected as they come, until `close`.
        """

    def close(self) -> None:
        """Leave the graph; afterwards the server calls no more."""
