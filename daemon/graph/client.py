"""An audio server's graph as the daemon sees it; `jack_graph` is the real one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from stemd.daemon.engine.link import RealtimeSide

Connection: TypeAlias = tuple[str, str]
"""Full names of two ports: where the audio comes from, and where it goes."""


@dataclass(frozen=True)
class Port:
    """A port of another program."""

    name: str
    is_output: bool
    """Whether audio or MIDI comes out of it."""
    is_midi: bool = False
    is_origin: bool = False
    """Whether what comes out of it comes from outside the graph: a sound card's input."""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class PortNotice:
    """What a server said of one port, or of two."""

    at: float
    """Seconds of the monotonic clock."""
    ports: tuple[str, ...]
    """Names: one that came or went, or two that were connected or disconnected."""
    is_there: bool

    def ends_port_of(self, connection: Connection) -> bool:
        """Whether one of this connection's ports went."""
        return not self.is_there and len(self.ports) == 1 and self.ports[0] in connection

    def begins(self, connection: Connection) -> bool:
        """Whether this connection was made, or one of its ports came."""
        is_port = len(self.ports) == 1 and self.ports[0] in connection
        return self.is_there and (is_port or self.ports == connection)


class GraphClient(Protocol):
    """The daemon's place in an audio server's graph, from opening to closing.

    One thread at a time may call it. All methods but `close` may fail with `ServerError` once the
    server is gone.

    Attributes
    ----------
    name : str
        What the server calls the client.
    server : str
        Which server it is, in words.
    reports_activity : bool
        Whether the ports of a client that becomes active or inactive are said to come or go. One
        that becomes inactive loses its connections, and keeps its ports.
    """

    name: str
    server: str
    reports_activity: bool

    @property
    def samplerate(self) -> int:
        """The present sample rate, in frames per second."""

    @property
    def period(self) -> int:
        """The present period, in frames."""

    def bind(self, rt: RealtimeSide, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Register the ports, stereo pairs in order, and hand everything to ``rt``."""

    def add_outputs(self, slots: Mapping[str, int]) -> None:
        """Register more ports, by name, and let those outputs of the real-time side be heard."""

    def add_midi(self, name: str) -> None:
        """Register a port for MIDI messages to the real-time side, before `activate`."""

    def remove_outputs(self, slots: Mapping[str, int]) -> bool:
        """Silence those outputs of the real-time side, and unregister their ports.

        Returns
        -------
        bool
            False if a cycle goes on that may use them; then nothing has changed.
        """

    def activate(self) -> None:
        """Let the server call."""

    def declare_latency(self) -> None:
        """Ask the server to recompute all latencies, because stemd's has changed."""

    def describe(self) -> None:
        """Publish the ports' metadata for patchbays, as far as that was not possible before."""

    def port_names(self) -> list[str]:
        """Return the full names of all ports in the graph."""

    def port_notices(self) -> list[PortNotice]:
        """Return what the server said of ports since the last call, in order."""

    def find_port(self, name: str) -> Port | None:
        """Return the port of a name, or of another name that the server knows it by; None: no more.

        PipeWire's default device is ``system:playback_1`` and so on, whatever its ports' names.
        """

    def connections(self) -> set[Connection]:
        """Return those of our own ports."""

    def all_connections(self) -> set[Connection]:
        """Return all in the graph that carry audio."""

    def connect(self, connection: Connection) -> bool:
        """Connect two ports; False if that cannot be."""

    def disconnect(self, connection: Connection) -> None:
        """Remove a connection, if it exists."""

    def is_alive(self) -> bool:
        """Whether the server is alive."""

    def is_in_graph(self) -> bool:
        """Whether the server still has stemd's ports; a session manager may have removed them."""

    def close(self) -> None:
        """Leave the graph; afterwards the server calls no more, and what was bound is let go."""

    def has_server_again(self) -> bool:
        """Return, after `close`, whether a server can be joined in this one's place."""
