"""Finds connections that would lead stemd's output back into its input."""

from collections.abc import Iterable, Mapping, Set

from stemd.daemon.graph.client import Connection, Graph, Port


class FeedbackFinder:
    """Finds paths from stemd's outputs back to its inputs.

    It assumes that every program plays all that it receives, except sound cards. It cannot see what
    a program passes on outside the graph, such as a virtual sink in two parts, unless it is told.

    Parameters
    ----------
    graph : Graph
    inputs, outputs : set of str
        Full names of stemd's own ports.
    ports : mapping of name to Port
        Ports of other programs.
    tunnels : mapping of program to program
        Which program plays what another one receives.
    """

    def __init__(
        self,
        graph: Graph,
        inputs: Set[str],
        outputs: Set[str],
        ports: Mapping[str, Port],
        tunnels: Mapping[str, str],
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._graph = graph
        self._ports = ports
        self._tunnels = tunnels

    def has_loop_with(self, new: Connection, without: Iterable[Connection] = ()) -> bool:
        """Whether this connection of one of stemd's ports closes a loop, or would.

        Parameters
        ----------
        new : Connection
        without : iterable of Connection
            Connections to leave out.
        """
        links = (self._graph.all_connections() | self._graph.connections()) - set(without)
        if new[0] in self.outputs:
            destinations = {new[1]}
            ends = {source for source, to in links if to in self.inputs}
        else:
            destinations = {to for source, to in links if source in self.outputs}
            ends = {new[0]}
        programs: set[str] = set()
        while reached := {self._program(port) for port in destinations} - programs:
            programs |= reached
            played = {
                source
                for source in {*ends, *(source for source, _ in links)} - self.outputs
                if self._program(source) in programs and not self._is_origin(source)
            }
            if played & ends:
                return True
            destinations = {to for source, to in links if source in played}
        return False

    def _is_origin(self, port: str) -> bool:
        """Whether a port's audio comes from outside the graph, as a microphone's does."""
        return port in self._ports and self._ports[port].is_origin

    def _program(self, port: str) -> str:
        name = port.partition(":")[0].removesuffix(" Monitor")
        return self._tunnels.get(name, name)
