"""Whether the stems have a way to the speakers, by the loopback that returns them."""

from math import inf

from stemd.daemon.device.loopbacks import Nodes
from stemd.daemon.graph.client import Graph
from stemd.daemon.graph.patchbay import Patchbay

NEGOTIATED_S = 0.2
"""How long after its connection an older loopback cannot play yet, at most."""


FIRST_PATIENCE_S, LONGEST_PATIENCE_S = 1.0, 30.0
"""How long the session manager may take to connect a loopback: WirePlumber 0.4 forgets one now and
then until another program appears. It doubles each time."""


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
    """

    def __init__(self, nodes: Nodes, patchbay: Patchbay) -> None:
        self._nodes = nodes
        self._patchbay = patchbay
        self._stalls = False
        self._moved_at = -inf
        self._open_since = inf
        self._patience_s, self._due = FIRST_PATIENCE_S, inf

    def begin(self, stalls: bool, now: float) -> None:
        """Note that the return was started.

        Parameters
        ----------
        stalls : bool
            See `Graph.loopbacks_stall`.
        now : float
            Seconds of the monotonic clock.
        """
        self._stalls, self._moved_at, self._open_since = stalls, now, inf
        self._due = now + self._patience_s
        self._patchbay.hold(self._nodes.back if stalls else None)

    def why_anew(self, graph: Graph, is_fed: bool, now: float) -> str:
        """Let the stems be connected once they can be; return why the return must begin anew.

        It is empty where it need not.

        Parameters
        ----------
        graph : Graph
        is_fed : bool
            Whether stems are connected to the return.
        now : float
            Seconds of the monotonic clock.
        """
        if not self._stalls:
            return ""
        is_open = bool(graph.destinations(self._nodes.exit))
        moved_at = self._patchbay.disconnected_at(self._nodes.exit)
        if not is_open or moved_at > self._moved_at:
            self._moved_at, self._open_since = max(moved_at, self._moved_at), inf
        if is_open:
            self._open_since = min(self._open_since, now)
        if is_fed:
            self._patience_s = FIRST_PATIENCE_S
            return "the output has changed" if self._open_since in (now, inf) else ""
        if now >= self._open_since + NEGOTIATED_S:
            self._patchbay.hold(None)
        elif not is_open and now >= self._due:
            self._patience_s = min(2 * self._patience_s, LONGEST_PATIENCE_S)
            return "the session manager has not connected it"
        return ""
