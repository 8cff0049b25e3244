"""Finds connections that would feed stemd's output back into its input."""

from collections.abc import Iterable, Mapping, Set

from stemd.daemon.graph.client import Connection, GraphClient, Port


class Circle:
    """The paths from stemd's outputs back to its inputs.

    Every program is taken to play all that it hears, but for sound cards. What a program passes on
    outside the graph, such as a virtual sink in two parts, cannot be seen.

    Parameters
    ----------
    client : GraphClient
    inputs, outputs : set of str
        Full names of stemd's own ports.
    ports : mapping of name to Port
        Others' ports.
    """

    def __init__(
        self, client: GraphClient, inputs: Set[str], outputs: Set[str], ports: Mapping[str, Port]
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._client = client
        self._ports = ports

    def is_closed_by(self, new: Connection, besides: Iterable[Connection] = ()) -> bool:
        """Whether a connection of one of stemd's ports leads back, or would.

        Parameters
        ----------
        new : Connection
        besides : iterable of Connection
            From stemd's outputs, which do not count for one to an input.
        """
        links = (self._client.all_connections() | self._client.connections()) - set(besides)
        if new[0] in self.outputs:
            heard = {new[1]}
            ends = {source for source, to in links if to in self.inputs}
        else:
            heard = {to for source, to in links if source in self.outputs}
            ends = {new[0]}
        programs: set[str] = set()
        while reached := {_program(port) for port in heard} - programs:
            programs |= reached
            played = {
                source
                for source in {*ends, *(source for source, _ in links)} - self.outputs
                if _program(source) in programs and not self._is_origin(source)
            }
            if played & ends:
                return True
            heard = {to for source, to in links if source in played}
        return False

    def _is_origin(self, port: str) -> bool:
        """Whether a port's sound comes from outside the graph, as from a microphone."""
        return port in self._ports and self._ports[port].is_origin


def _program(port: str) -> str:
    return port.partition(":")[0].removesuffix(" Monitor")
