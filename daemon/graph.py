"""An audio server's graph as the daemon sees it; `jack_graph` is the real one."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from stemd.daemon.realtime import RealtimeSide

Connection: TypeAlias = tuple[str, str]
"""Full names of two ports: where the audio comes from, and where it goes."""


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
    """

    name: str
    server: str

    @property
    def samplerate(self) -> int:
        """Frames per second, as they are now."""

    @property
    def period(self) -> int:
        """Frames in a cycle, as they are now."""

    def bind(self, rt: RealtimeSide, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Register the ports, stereo pairs in order, and hand everything to ``rt``."""

    def add_outputs(self, slots: Mapping[str, int]) -> None:
        """Register more ports, by name, and let those outputs of the real-time side be heard."""

    def add_midi(self, name: str) -> None:
        """Register a port for MIDI messages to the real-time side, before `activate`."""

    def remove_outputs(self, slots: Mapping[str, int]) -> None:
        """Let those outputs of the real-time side be heard no more, and unregister their ports."""

    def activate(self) -> None:
        """Let the server call."""

    def declare_latency(self) -> None:
        """Have the latencies of the whole graph computed anew, for ours has changed."""

    def describe(self) -> None:
        """Tell patchbays about our ports, as far as that could not be done before."""

    def port_names(self) -> list[str]:
        """Return the full names of all ports in the graph."""

    def connections(self) -> set[Connection]:
        """Return those of our own ports."""

    def connect(self, connection: Connection) -> bool:
        """Connect two ports; False if that cannot be."""

    def is_alive(self) -> bool:
        """Tell whether the server lives."""

    def is_in_graph(self) -> bool:
        """Tell whether the server still knows our ports; somebody may have removed them."""

    def close(self) -> None:
        """Leave the graph; afterwards the server calls no more."""

    def has_server_again(self) -> bool:
        """Tell, after `close`, whether a server can be joined where this one was."""
