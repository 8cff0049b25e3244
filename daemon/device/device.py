"""stemd as a sound device on PipeWire: begun, kept alive, and taken away without a gap."""

import logging
from math import inf

from stemd.daemon.control.replies import Device
from stemd.daemon.device.keeper import Keeper
from stemd.daemon.device.loopbacks import (
    Nodes,
    environment,
    missing_program,
    return_command,
    sink_command,
)
from stemd.daemon.device.session_manager import SessionManager
from stemd.daemon.device.way_out import WayOut
from stemd.daemon.graph.client import GraphClient
from stemd.daemon.graph.patchbay import Patchbay
from stemd.daemon.sound_device import DeviceMode

log = logging.getLogger(__name__)

BEGIN_S = 0.05
"""Seconds from one look to the next while the device begins or ends, at most."""

DUE_S = 5.0
"""After so long without a way to the speakers something is wrong."""

HANDOVER_S = 0.2
"""For how long the stems play on when the sink has ended: the session manager takes some time to
connect players to the speakers, and for longer both would be heard."""


class SoundDevice:
    """Two loopbacks around stemd, as long as there is a PipeWire (main thread).

    The return begins first and ends last: players never play to a sink that leads nowhere, and the
    stems are heard until the players are heard without them.

    Parameters
    ----------
    mode : DeviceMode
    patchbay : Patchbay
        Connects the loopbacks' ports.
    server_name : str, optional
        The name of PipeWire's socket.

    Attributes
    ----------
    mode : DeviceMode
        What is wanted.
    """

    def __init__(
        self, mode: DeviceMode, patchbay: Patchbay, server_name: str | None = None
    ) -> None:
        self.mode = mode
        self._patchbay = patchbay
        self._variables = environment(server_name)
        self._noted = ""
        self._forget()

    def _forget(self) -> None:
        self._obstacle = ""
        self._nodes: Nodes | None = None
        self._made: DeviceMode = "off"
        """The mode of the loopbacks that run."""
        self._return, self._sink = Keeper(self._variables), Keeper(self._variables)
        self._way: WayOut | None = None
        self._is_ready = False
        self._is_overdue = False
        self._due = inf
        self._handed_over_at = -inf
        self._manager = SessionManager(self._variables)

    def status(self) -> Device:
        """Return what is wanted, what is there, and why that is not the same."""
        return Device(mode=self.mode, in_effect=self._in_effect, trouble=self.trouble or None)

    @property
    def trouble(self) -> str:
        """Why what is wanted is not there, and the remedy; empty where nothing is known."""
        if self._nodes and not self._obstacle and (self._is_ready or self._is_overdue):
            return self._trouble_of_manager(self._nodes.sink_in_menus)
        return self._obstacle

    @property
    def is_settled(self) -> bool:
        """Whether nothing is expected to happen soon."""
        is_made = self._made == self.mode and self._is_ready == (self.mode != "off")
        return bool(self._obstacle) or is_made or self._is_overdue

    def obstacle(self, client: GraphClient, mode: DeviceMode) -> str:
        """Return why a mode is impossible in this graph, and the remedy; empty where it is not."""
        if mode == "off":
            return ""
        if client.kind != "pipewire":
            return (
                f"jack.device: {mode} needs PipeWire, and stemd plays on {client.server}: "
                "start stemd with --server pipewire, while PipeWire runs"
            )
        return "" if self._nodes else missing_program(mode)

    def look(self, client: GraphClient, is_warm: bool, now: float) -> None:
        """Start, restart and end the loopbacks; called several times a second.

        Parameters
        ----------
        client : GraphClient
        is_warm : bool
            Whether the client's outputs play what its inputs get; before, no loopback begins.
        now : float
            Seconds of a monotonic clock.
        """
        self._obstacle = self.obstacle(client, self.mode)
        wanted = "off" if self._obstacle else self.mode
        if wanted != self._made:
            self._take_down(wanted, now)
        if self._made == wanted != "off" and is_warm:
            self._keep(client, now)
        self._is_overdue = self._made == wanted != "off" and not self._is_ready and now > self._due
        if self._is_ready or self._is_overdue:
            self._manager.look(now)
        if self.trouble not in ("", self._noted):
            self._noted = self.trouble
            log.warning("%s", self.trouble)

    def end(self) -> None:
        """End the loopbacks at once: the server has ended, or the daemon ends."""
        self._sink.end()
        self._return.end()
        self._manager.close()
        self._forget()

    @property
    def _in_effect(self) -> DeviceMode:
        if not self._is_ready:
            return "off"
        return "all" if self._made == "all" and self._manager.has_smart_filters else "output"

    def _trouble_of_manager(self, sink: str) -> str:
        if self._manager.is_there is False:
            return (
                "no session manager runs, so no player is connected to the sound device: start "
                "WirePlumber"
            )
        if self._manager.is_there and not self._is_ready:
            return (
                "the session manager connects the stems to no output: choose one in the sound "
                "settings"
            )
        if self._manager.is_there and self._made == "all" and not self._manager.has_smart_filters:
            return (
                "jack.device: all needs WirePlumber 0.5 or later, and this session manager is "
                f'older: choose "{sink}" as the output in the sound settings'
            )
        return ""

    def _keep(self, client: GraphClient, now: float) -> None:
        """Start what does not run: the sink as soon as there is a way to the speakers."""
        nodes = self._nodes = self._nodes or Nodes(client.name)
        is_fed = self._is_wired(nodes.back)
        way = self._way = self._way or WayOut(nodes, self._patchbay)
        self._due = inf if is_fed else min(self._due, now + DUE_S)
        if self._return.keep(return_command(nodes, self._made), now):
            self._patchbay.wire(nodes.wires(), nodes.tunnels())
            way.begin(client.graph.loopbacks_stall, now)
        elif self._return.is_pausing(now):
            self._sink.end()
        elif reason := way.why_anew(client.graph, is_fed, now):
            log.info("starting the loopback that plays the stems anew: %s", reason)
            self._return.end()
        elif is_fed:
            self._sink.keep(sink_command(nodes, self._made), now)
        was_ready, self._is_ready = self._is_ready, self._is_wired(nodes.feed)
        if self._is_ready and not was_ready:
            log.info("stemd is a sound device: %s", nodes.sink_in_menus)

    def _is_wired(self, node: str) -> bool:
        """Whether one of stemd's ports is connected to this node."""
        return any(
            port.startswith(f"{node}:") for pair in self._patchbay.connections for port in pair
        )

    def _take_down(self, wanted: DeviceMode, now: float) -> None:
        """End the sink, and a little later the return."""
        if self._sink.is_running:
            self._sink.end()
            self._is_ready = False
            self._handed_over_at = now + HANDOVER_S
        if now >= self._handed_over_at:
            self._return.end()
            self._made = wanted
            if wanted == "off":
                log.info("stemd is no sound device any more")
