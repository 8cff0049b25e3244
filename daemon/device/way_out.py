"""Whether the stems have a way to the speakers, by the loopback that returns them."""

from math import inf

from stemd.daemon.device.loopbacks import Nodes
from stemd.daemon.graph.client import Graph
from stemd.daemon.graph.patchbay import Patchbay

NEGOTIATED_S = 0.2
"""How long after its connection an older loopback cannot play yet, at most."""


class WayOut:
    """Follows what the return plays to, from its start on (main thread).

    The session manager connects the return, and does so again when the default output changes.
    Older loopbacks fall silent if they receive what they cannot play: they get the stems once they
    are connected. (WirePlumber 0.5 connects the return of a smart filter only once it is wired.)

    Parameters
    ----------
    nodes : Nodes
    patchbay : Patchbay
        Connects the stems; to an older loopback not before the way is open.
    stalls : bool
        See `Graph.loopbacks_stall`.
    now : float
        Seconds of the monotonic clock.
    """

    def __init__(self, nodes: Nodes, patchbay: Patchbay, stalls: bool, now: float) -> None:
        self._nodes = nodes
        self._patchbay = patchbay
        self._stalls = stalls
        self._moved_at = now
        self._open_since = inf
        patchbay.hold(nodes.back if stalls else None)

    def has_stalled(self, graph: Graph, is_fed: bool, now: float) -> bool:
        """Let the stems be connected once they can be; return whether the return must begin anew.

        Parameters
        ----------
        graph : Graph
        is_fed : bool
            Whether stems are connected to the return.
        now : float
            Seconds of the monotonic clock.
        """
        if not self._stalls:
            return False
        is_open = bool(graph.destinations(self._nodes.exit))
        moved_at = self._patchbay.disconnected_at(self._nodes.exit)
        if not is_open or moved_at > self._moved_at:
            self._moved_at, self._open_since = max(moved_at, self._moved_at), inf
        if is_open:
            self._open_since = min(self._open_since, now)
        if is_fed:
            return self._open_since in (now, inf)
        if now >= self._open_since + NEGOTIATED_S:
            self._patchbay.hold(None)
        return False
