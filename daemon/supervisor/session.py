"""The daemon in one server's graph, from joining to leaving it."""

from collections.abc import Callable
from functools import partial
from time import monotonic

from stemd.daemon.engine.callbacks import RAMP_S
from stemd.daemon.engine.networks import LoadedNetworks
from stemd.daemon.engine.realtime import Counters, Event, RealtimeSide
from stemd.daemon.engine.separation import Separation
from stemd.daemon.errors import StemdError
from stemd.daemon.graph.client import GraphClient
from stemd.daemon.graph.patchbay import Patchbay
from stemd.daemon.ports import INPUTS, MIDI, MIDI_OUT, MIX_OUTPUTS, OUTPUTS
from stemd.daemon.supervisor.changes import Change, Setup
from stemd.daemon.supervisor.health import AttendedClock, Standstill
from stemd.daemon.supervisor.priorities import PriorityFollower
from stemd.daemon.supervisor.room import Room
from stemd.daemon.supervisor.state import State
from stemd.daemon.supervisor.swap import Phase
from stemd.daemon.supervisor.swapping import Swapper
from stemd.dsp.mask_kinds import MaskExtension

TICK_S = 0.25
"""Seconds from one `Session.tick` to the next, at most."""

SILENT_S = 1.0
"""The server counts as silent when a cycle is so long overdue."""

SUSPENDED_S = 5.0
"""After so long without a cycle nothing is expected of the server's thread: another setup is taken
without having heard the music."""

REMOVED_S = 2.0
"""For so long the server must have none of our ports before they count as removed."""


class ServerGoneError(Exception):
    """The server went away."""


class Session:
    """A client, its ports, and the separations that play through them one after the other.

    Main thread only.

    Parameters
    ----------
    client : GraphClient
        Open, without ports; `close` closes it.
    setup : Setup
        What is to play.
    patchbay : Patchbay
    is_bypassed : bool
        Begin with the dry signal.
    ramp_s : float
        Seconds in which a gain changes.
    has_midi : bool
        There is a port for MIDI.
    has_midi_out : bool
        There is one for answers to it.
    has_mix : bool
        There are ports for the input, as late as the stems.

    Attributes
    ----------
    client : GraphClient
    rt : RealtimeSide
    swapper : Swapper
    room : Room
        Whether the delay may become shorter.
    """

    def __init__(
        self,
        client: GraphClient,
        setup: Setup,
        patchbay: Patchbay,
        is_bypassed: bool = False,
        ramp_s: float = RAMP_S,
        has_midi: bool = False,
        has_midi_out: bool = False,
        has_mix: bool = False,
    ) -> None:
        self.client = client
        self.room = Room()
        self.rt = RealtimeSide(len(INPUTS), len(OUTPUTS), client.samplerate, ramp_s)
        self._is_bypassed = is_bypassed
        self._in_graph_at = float("inf")
        self._cycles = Standstill()
        self._silent_s = 0.0
        self._clock = AttendedClock()
        self._looked_at = 0.0
        self._priorities = PriorityFollower()
        self._patchbay = patchbay
        inputs = (*INPUTS, MIDI) if has_midi else INPUTS
        # Without a reference to the session, whose memory is free as soon as it is forgotten.
        self._connect: Callable[[float], None] = partial(patchbay.look, client.graph, inputs)
        client.bind(self.rt.callbacks, INPUTS, [])
        connect = self._connect
        self.swapper = Swapper(client, self.rt, setup, is_bypassed, lambda: connect(monotonic()))
        try:
            if has_midi:
                client.add_midi(MIDI)
            if has_midi_out:
                client.add_midi_out(MIDI_OUT)
            if has_mix:
                client.add_outputs(MIX_OUTPUTS)
            client.activate()
            client.declare_latency()
        except BaseException:
            self.swapper.playing.end()
            raise

    @property
    def separation(self) -> Separation:
        """The separation that plays; before any does, the first one."""
        return self.swapper.playing.separation

    @property
    def networks(self) -> LoadedNetworks:
        """The networks of the setup that plays or is about to."""
        return self.swapper.setup.networks

    @property
    def phase(self) -> Phase:
        """How far the session is in the swap to another separation."""
        return self.swapper.phase

    @property
    def state(self) -> State:
        """The state of the daemon while there is a session (any thread)."""
        if self._silent_s > SILENT_S:
            return State.SILENT
        if self.swapper.is_recovering:
            return State.RECOVERING
        if self._is_bypassed:
            return State.BYPASSED
        return State.OVERLOADED if self.separation.is_overloaded else State.PLAYING

    @property
    def stems(self) -> tuple[str, ...]:
        """The stems that are heard; during a cross-fade, those of both separations."""
        return self.swapper.stems

    @property
    def is_warm(self) -> bool:
        """Whether the separation that plays has delivered anything."""
        return self.separation.link.counters().delivered > 0

    def bypass(self, on: bool) -> None:
        """Fade to the dry signal, or back to the stems."""
        self._is_bypassed = on
        self.swapper.bypass(on)

    def change(self, setup: Setup, commit: Callable[[], None] = lambda: None) -> Change:
        """Begin to change to another setup, by a cross-fade, once it has shown that it keeps up.

        It processes the music beside the one that plays. If it fails or does not keep up, it is
        withdrawn before anything of it is heard. See `Change`.

        Raises
        ------
        StemdError
            The last change has not ended.
        """
        change = Change(setup, commit)
        self.swapper.want(change)
        return change

    def extend_masks(self, extension: MaskExtension) -> None:
        """Change how masks are extended above the networks' last bin, from the next hop on."""
        self.swapper.extend_masks(extension)

    def tick(self, events: Event, now: float) -> None:
        """Check graph, server and separations; called several times a second, and at events.

        Parameters
        ----------
        events : Event
            What `RealtimeSide.wait_events` returned.
        now : float
            Seconds of a monotonic clock.

        Raises
        ------
        ServerGoneError
            The session is over: close it.
        StemdError
            The daemon cannot go on.
        """
        self._check_server(events)
        if events & (Event.SWAPPED | Event.PERIOD):  # of neither does JACK inform other clients
            self.client.declare_latency()
        if Event.LATENCY in events:
            self.rt.answer_latency()
        counters = self.rt.counters()
        attended = self._clock.at(now)
        self._look_for_silence(counters, attended)
        self._follow_priority(counters, now)
        self.swapper.look(events, attended, self._is_suspended)
        self.room.look(self.swapper.has_room, self.phase is Phase.STEADY, attended)
        self.client.describe()
        self._connect(now)
        self._check_ports(attended)

    def close(self, process_ends: bool = False) -> None:
        """Leave the graph and end all threads.

        Parameters
        ----------
        process_ends : bool
            See `GraphClient.close`.
        """
        self._priorities.close()
        self._patchbay.server_went(monotonic())
        self.swapper.release()  # a bounce that waits for the engine holds the server
        try:
            self.client.close(process_ends)
        finally:
            self.swapper.close()

    @property
    def _is_suspended(self) -> bool:
        """Whether the server has stopped calling; a bounce may just wait for an engine."""
        return self._silent_s > SUSPENDED_S and not self.rt.freewheeling

    def _check_server(self, events: Event) -> None:
        if Event.SHUTDOWN in events or not self.client.is_alive():
            raise ServerGoneError

    def _check_ports(self, attended: float) -> None:
        if self.client.own_ports <= self._patchbay.listed_own_ports:
            self._in_graph_at = attended
        elif attended - self._in_graph_at > REMOVED_S:
            raise StemdError("another program removed stemd from the server's graph")

    def _look_for_silence(self, counters: Counters, attended: float) -> None:
        self._cycles = self._cycles.after(counters.periods, attended)
        period_s = counters.period / self.client.samplerate
        # From when the next cycle is due: a long period at a low rate may last a second.
        self._silent_s = max(attended - self._cycles.since - period_s, 0)
        # While the server does not call, it is no wonder that nothing comes out.
        silent_now_s = min(self._silent_s, attended - self._looked_at)
        self._looked_at = attended
        for each in self.swapper.lives:
            each.excuse(silent_now_s)

    def _follow_priority(self, counters: Counters, now: float) -> None:
        if priorities := self._priorities.look(counters, now):
            self.swapper.set_priorities(priorities)
        self._priorities.log_granted(counters, now, self.separation.are_networks_lowered)
