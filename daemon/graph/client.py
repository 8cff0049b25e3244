"""Protocols of an audio server's graph and of the daemon's client in it; `jack` implements them."""

from collections.abc import Mapping, Sequence, Set
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from stemd.daemon.engine.callbacks import ServerCallbacks

Connection: TypeAlias = tuple[str, str]
"""Full names of two ports: where the audio comes from, and where it goes."""


@dataclass(frozen=True)
class Port:
    """A port of another program."""

    name: str
    is_output: bool
    """Whether it is a source of audio or MIDI."""
    is_midi: bool = False
    is_origin: bool = False
    """Whether its audio comes from outside the graph: a sound card's input."""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class PortNotice:
    """What a server reported of one port, or of two."""

    at: float
    """Seconds of the monotonic clock."""
    ports: tuple[str, ...]
    """Names: one that appeared or vanished, or two that were connected or disconnected."""
    is_there: bool
    """Whether the port appeared, or the two were connected."""

    def ends_port_of(self, connection: Connection) -> bool:
        """Whether one of this connection's ports vanished."""
        return not self.is_there and len(self.ports) == 1 and self.ports[0] in connection

    def begins(self, connection: Connection) -> bool:
        """Whether this connection was made, or one of its ports appeared."""
        is_port = len(self.ports) == 1 and self.ports[0] in connection
        return self.is_there and (is_port or self.ports == connection)


class Graph(Protocol):
    """The ports and connections of an audio server's graph, as one client sees it.

    Attributes
    ----------
    name : str
        The client's name in the graph.
    reports_activity : bool
        Whether the server reports ports that come or go when a client becomes active or inactive.
        A client that becomes inactive loses its connections, and keeps its ports. PipeWire does
        not report a short time of that; `was_inactive` finds it.
    loopbacks_stall : bool
        Whether a loopback of PipeWire falls silent for good if it receives while it cannot play.
    """

    name: str
    reports_activity: bool
    loopbacks_stall: bool

    def port_names(self) -> list[str]:
        """Return the full names of all ports in the graph."""

    def port_notices(self) -> list[PortNotice]:
        """Return what the server reported of ports since the last call, in order."""

    def find_port(self, name: str) -> Port | None:
        """Return the port with this name or alias; None if there is none.

        PipeWire's default device is ``system:playback_1`` and so on, whatever its ports' names.
        """

    def was_inactive(self, program: str, since: float) -> "Future[bool]":
        """Begin to find out whether another client has been inactive since then, unreported.

        Parameters
        ----------
        program : str
            The client's name.
        since : float
            Seconds of the monotonic clock.

        Returns
        -------
        Future of bool
            It is done within seconds, and never fails; False if that cannot be known.
        """

    def connections(self) -> set[Connection]:
        """Return the connections of the client's own ports."""

    def all_connections(self) -> set[Connection]:
        """Return all connections in the graph that carry audio."""

    def destinations(self, port: str) -> list[str]:
        """Return the ports to which another program's output is connected."""

    def connect(self, connection: Connection) -> bool:
        """Connect two ports; return False if the server refuses."""

    def disconnect(self, connection: Connection) -> None:
        """Disconnect two ports, if they are connected."""


class GraphClient(Protocol):
    """The daemon's client in an audio server's graph, from opening to closing.

    One thread at a time may call it. All methods but `close` may fail with `ServerError` once the
    server has ended.

    Attributes
    ----------
    name : str
        Its name in the graph.
    kind : str
        "jack" or "pipewire".
    server : str
        Kind and version of the server, as messages name it.
    """

    name: str
    kind: str
    server: str

    @property
    def graph(self) -> Graph:
        """All ports and connections."""

    @property
    def own_ports(self) -> Set[str]:
        """The full names of all ports that it has registered; a user may have removed them."""

    @property
    def samplerate(self) -> int:
        """The current sample rate in frames per second."""

    @property
    def period(self) -> int:
        """The current number of frames in a cycle."""

    def bind(
        self, callbacks: "ServerCallbacks", inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        """Register the ports, stereo pairs in order, and set the callbacks."""

    def add_outputs(self, slots: Mapping[str, int]) -> None:
        """Register more ports, by name, and play the outputs of these numbers through them."""

    def add_midi(self, name: str) -> None:
        """Register a port that passes MIDI messages to the real-time side, before `activate`."""

    def add_midi_out(self, name: str) -> None:
        """Register a port that sends MIDI messages of the real-time side, before `activate`."""

    def remove_outputs(self, slots: Mapping[str, int]) -> bool:
        """Stop playing the outputs of these numbers, and unregister their ports.

        Returns
        -------
        bool
            False if a cycle continues that may use them; then nothing has changed.
        """

    def activate(self) -> None:
        """Let the server call the callbacks."""

    def declare_latency(self) -> None:
        """Have the server compute the latencies of the whole graph again."""

    def describe(self) -> None:
        """Set the metadata of the own ports that are not set yet, as far as the server lets."""

    def is_alive(self) -> bool:
        """Whether the server runs."""

    def close(self, process_ends: bool = False) -> None:
        """Leave the graph; the server calls no callback afterwards, and what they held is freed.

        Parameters
        ----------
        process_ends : bool
            What only the end of the process can free safely may be left to it.
        """

    def has_server_again(self) -> bool:
        """Whether, after `close`, a server accepts connections where this one did."""
