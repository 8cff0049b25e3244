"""The output ports of a session."""

from collections.abc import Iterable

from stemd.daemon.engine.realtime import RealtimeSide
from stemd.daemon.graph.client import GraphClient
from stemd.daemon.ports import outputs_of


class OutputPorts:
    """A client's output ports, which come and go with the stems.

    Parameters
    ----------
    client : GraphClient
    rt : RealtimeSide

    Attributes
    ----------
    has_unused : bool
        Whether `keep_only` has left some, which a cycle may still use: call it again.
    """

    def __init__(self, client: GraphClient, rt: RealtimeSide) -> None:
        self.has_unused = False
        self._client = client
        self._rt = rt
        self._slots: dict[str, int] = {}

    def add(self, stems: Iterable[str]) -> None:
        """Register the ports that are missing.

        Raises
        ------
        ServerError
            The server refuses.
        """
        ports = outputs_of(stems)
        new = {name: slot for name, slot in ports.items() if name not in self._slots}
        self._client.add_outputs(new)
        self._slots |= new

    def keep_only(self, stems: Iterable[str]) -> None:
        """Unregister all others, but not during an offline bounce."""
        used = outputs_of(stems)
        unused = {name: slot for name, slot in self._slots.items() if name not in used}
        self.has_unused = self._rt.freewheeling or not self._client.remove_outputs(unused)
        if not self.has_unused:
            self._slots = {name: slot for name, slot in self._slots.items() if name in used}
