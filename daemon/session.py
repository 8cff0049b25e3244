"""The daemon in one server's graph, from joining to leaving it."""

import logging
from collections import deque
from enum import StrEnum
from time import monotonic

from stemd.daemon.errors import StemdError
from stemd.daemon.graph import GraphClient
from stemd.daemon.networks import LoadedNetworks
from stemd.daemon.patchbay import Patchbay
from stemd.daemon.ports import INPUTS, MIDI, OUTPUTS, outputs_of
from stemd.daemon.realtime import RAMP_S, Counters, Event, RealtimeSide
from stemd.daemon.rights import Notice
from stemd.daemon.scheduling import (
    NORMAL,
    Priorities,
    give_back_memory,
    keep_scheduled,
    permitted_by_rtkit,
    priorities_below,
    set_steering_priority,
)
from stemd.daemon.separation import Separation
from stemd.dsp.masks import MaskExtension
from stemd.dsp.scheme import HOP_LENGTH, SAMPLERATE, Scheme
from stemd.tflite_models.errors import ModelError

log = logging.getLogger(__name__)

TICK_S = 0.25
"""How often a session wants to be looked after."""

SILENT_S = 1.0
"""After so long without a cycle the server counts as silent."""

WEDGED_S = 2.0
"""After so long without output, while cycles pass, an engine is replaced."""

HUNG_S = 10.0
"""After so long beyond a block without an estimate, while cycles pass, so is one whose networks
hang."""

REMOVED_S = 2.0
"""For so long the server must not know our ports before we believe that they are gone: PipeWire
may fail the question while somebody else's port vanishes."""

LOAD_AGAIN_S = 10.0
"""How long to wait where networks could not be loaded anew."""

FAILURES, FAILURES_S = 5, 60.0
"""So many engines that fail within so many seconds are more than can be mended."""


class State(StrEnum):
    """What the daemon is doing."""

    WAITING = "waiting"
    """No server answers."""
    SILENT = "silent"
    """The server does not call: it is stopped, or suspended for want of connections."""
    PLAYING = "playing"
    """The stems are heard."""
    OVERLOADED = "overloaded"
    """The networks do not keep up: the dry signal is heard."""
    MENDING = "mending"
    """The engine failed: the dry signal is heard until the next one is warm."""
    BYPASSED = "bypassed"
    """The dry signal is heard because somebody asked for it."""


class ServerGoneError(Exception):
    """The server went away."""


class Session:
    """A client, its ports, and the separations that play through them one after the other.

    Parameters
    ----------
    client : GraphClient
        Open, without ports; `close` closes it.
    networks : LoadedNetworks
    scheme : Scheme
    extension : MaskExtension
    longest_period : int
        Frames of the longest period for which the delay has room.
    patchbay : Patchbay
    is_bypassed : bool
        Begin with the dry signal.
    ramp_s : float
        Seconds in which a gain changes.
    has_midi : bool
        There is a port for MIDI.
    """

    def __init__(
        self,
        client: GraphClient,
        networks: LoadedNetworks,
        scheme: Scheme,
        extension: MaskExtension,
        longest_period: int,
        patchbay: Patchbay,
        is_bypassed: bool = False,
        ramp_s: float = RAMP_S,
        has_midi: bool = False,
    ) -> None:
        self.client = client
        self.networks = networks
        self.separation: Separation
        """The one that plays, or is to."""
        self._scheme = scheme
        self._hung_s = HUNG_S + scheme.B * HOP_LENGTH / SAMPLERATE
        self._extension = extension
        self._longest_period = longest_period
        self._patchbay = patchbay
        self._in_graph_at = float("inf")
        self._is_bypassed = is_bypassed
        self._is_silent = False
        self._is_mending = False
        self._is_swapping = False
        self._is_outdated = False
        self._retiring: Separation | None = None
        """Plays until the one that follows it is warm."""
        self._load_at: float | None = None
        self._failed_at: deque[float] = deque(maxlen=FAILURES)
        self._cycles, self._output, self._estimates = Advance(), Advance(), Advance()
        self._priorities = Priorities()
        self._server_priority = (NORMAL, NORMAL)
        """And what rtkit permits below it."""
        self._rights = Notice()
        self.rt = RealtimeSide(len(INPUTS), len(OUTPUTS), client.samplerate, ramp_s)
        client.bind(self.rt, INPUTS, [])
        self._ports = outputs_of(networks.by_stem)
        client.add_outputs(self._ports)
        self._inputs: tuple[str, ...] = INPUTS
        if has_midi:
            client.add_midi(MIDI)
            self._inputs = (*INPUTS, MIDI)
        self.separation = self._new_separation()
        self._attach()
        try:
            client.activate()
            client.declare_latency()
        except BaseException:
            self.separation.stop()
            raise

    @property
    def state(self) -> State:
        """What is heard."""
        if self._is_silent:
            return State.SILENT
        if self._is_mending:
            return State.MENDING
        if self._is_bypassed:
            return State.BYPASSED
        return State.OVERLOADED if self.separation.is_overloaded else State.PLAYING

    @property
    def stems(self) -> tuple[str, ...]:
        """What is heard: while one separation takes over from another, the stems of both."""
        heard = (each.stems for each in (self._retiring, self.separation) if each)
        return tuple(dict.fromkeys(stem for stems in heard for stem in stems))

    def bypass(self, on: bool) -> None:
        """Fade to the dry signal, or back to the stems."""
        self._is_bypassed = on
        for each in (self.separation, self._retiring):
            if each:
                each.bypass(on)

    def change(self, networks: LoadedNetworks, scheme: Scheme, longest_period: int) -> None:
        """Go over to others, by a cross-fade as soon as they are warm.

        Raises
        ------
        ServerError
            The server has no room for their ports, and nothing has changed.
        """
        ports = outputs_of(networks.by_stem)
        self.client.add_outputs(
            {name: slot for name, slot in ports.items() if name not in self._ports}
        )
        self._ports |= ports
        self.networks, self._scheme, self._longest_period = networks, scheme, longest_period
        self._hung_s = HUNG_S + scheme.B * HOP_LENGTH / SAMPLERATE
        self._is_outdated = True

    def extend_masks(self, extension: MaskExtension) -> None:
        """Do otherwise above the networks' last bin, from the next hop on."""
        self._extension = extension
        self.separation.extend_masks(extension)

    def tick(self, events: Event, now: float) -> None:
        """Look after everything; called several times a second, and when something happened.

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
            Nothing helps.
        """
        if Event.SHUTDOWN in events or not self.client.is_alive():
            raise ServerGoneError
        if self.client.is_in_graph():
            self._in_graph_at = now
        elif now - self._in_graph_at > REMOVED_S:
            raise StemdError("somebody removed stemd from the server's graph")
        if Event.SWAPPED in events:
            self._is_swapping = False
            self._is_mending &= self._is_outdated  # else what plays now was mended meanwhile
            self._retire()
        if events & (Event.SWAPPED | Event.PERIOD):  # JACK tells the others of neither
            self.client.declare_latency()
        if Event.LATENCY in events:
            self.rt.answer_latency()
        counters = self.rt.counters()
        self._listen(counters, now)
        self._follow_priority(counters)
        if counters.periods:
            self._rights.look(counters.priority, now, self.separation.is_overloaded)
        if not self._is_outdated:  # else it was stopped, and only waits for its successor
            self._note_trouble(now)
        if not self._is_outdated:
            self._note_changes(counters)
        if self._load_at is not None and now >= self._load_at:
            self._load_anew(now)
        if self._is_outdated and not self._is_swapping and self._load_at is None:
            self._separate()
        self.client.describe()
        self._patchbay.look(self.client, self._inputs, now)

    def close(self) -> None:
        """Leave the graph and end all threads."""
        set_steering_priority(NORMAL)
        self._patchbay.server_went(monotonic())
        for each in (self.separation, self._retiring):
            if each:
                each.link.release()  # a bounce that waits for the engine holds the server
        try:
            self.client.close()
        finally:
            self.separation.stop()
            if self._retiring:
                self._retiring.stop()
        self.rt.detach()

    def _listen(self, counters: Counters, now: float) -> None:
        """Note whether the server calls."""
        silent_s = self._cycles.since(counters.periods, now)
        if silent_s > SILENT_S / 2:
            self._output.restart(now)  # no wonder that nothing comes out
            if not self.separation.holds_bounce:
                self._estimates.restart(now)
        self._is_silent = silent_s > SILENT_S

    def _follow_priority(self, counters: Counters) -> None:
        """Keep below the server's thread."""
        permitted = permitted_by_rtkit()
        if keep_scheduled():
            log.warning("a thread ran for longer than rtkit permits: it has its priority no more")
        if (counters.priority, permitted) != self._server_priority:
            self._server_priority = (counters.priority, permitted)
            self._priorities = priorities_below(counters.priority)
            self.separation.set_priorities(self._priorities)
            set_steering_priority(self._priorities.steering)

    def _note_trouble(self, now: float) -> None:
        """Silence an engine that failed or hangs, and load its networks anew."""
        delivered = self.separation.link.counters().delivered
        if self.separation.failure:
            trouble = str(self.separation.failure)
        elif self._output.since(delivered, now) > WEDGED_S:
            trouble = f"nothing came out for {WEDGED_S:.0f} s"
        elif self._estimates.since(self.separation.estimated, now) > self._hung_s:
            trouble = f"a network did not end within {self._hung_s:.0f} s"
        else:
            return
        log.error("the separation failed: %s; the input is heard until it is mended", trouble)
        self._failed_at.append(now)
        if len(self._failed_at) == FAILURES and now - self._failed_at[0] < FAILURES_S:
            raise StemdError(
                f"the separation failed {FAILURES} times within {FAILURES_S:.0f} s, the last time: "
                f"{trouble}"
            )
        self._is_mending = self._is_outdated = True
        self.separation.stop()
        self.separation.failure = None
        self._load_at = now
        self._output.restart(now)
        self._estimates.restart(now)

    def _load_anew(self, now: float) -> None:
        """Replace the networks; later, if that cannot be done now."""
        try:
            self.networks.load_anew()
        except ModelError as error:
            self._load_at = now + LOAD_AGAIN_S
            log.error("%s; the next attempt is in %.0f s", error, LOAD_AGAIN_S)
        else:
            self._load_at = None

    def _note_changes(self, counters: Counters) -> None:
        """See whether the separation still fits the server."""
        if self.separation.samplerate != self.client.samplerate:
            log.info("the server plays at %d Hz now", self.client.samplerate)
        elif self.separation.longest_period < counters.period:
            log.info("the server's periods are of %d frames now", counters.period)
        else:
            return
        self._is_outdated = True
        self.separation.stop()
        if self._retiring:
            self._retiring.stop()

    def _separate(self) -> None:
        """Begin a separation that takes over as soon as it is warm."""
        if not self.separation.is_stopped:
            self._retiring = self.separation
        self.separation = self._new_separation()
        self._attach()

    def _attach(self) -> None:
        self.separation.bypass(self._is_bypassed)
        self.rt.attach(self.separation.link)
        self._is_swapping, self._is_outdated = True, False
        self._output, self._estimates = Advance(), Advance()
        give_back_memory()  # what is replaced refers to itself, and its networks are large

    def _new_separation(self) -> Separation:
        separation = Separation(
            self.networks.by_stem,
            self._scheme,
            self._extension,
            self.rt,
            self.client.samplerate,
            max(self._longest_period, self.client.period, self.rt.counters().period),
        )
        separation.set_priorities(self._priorities)
        return separation

    def _retire(self) -> None:
        """End what does not play any more, and let its ports be heard no more."""
        if self._retiring:
            self._retiring.stop()
            self._retiring = None
            give_back_memory()
        used = outputs_of({*self.separation.stems, *self.networks.by_stem})
        unused = self._ports.keys() - used.keys()
        self.client.remove_outputs({name: self._ports.pop(name) for name in unused})


class Advance:
    """Tells for how long a number has stood still."""

    def __init__(self) -> None:
        self._value: int | None = None
        self._since = 0.0

    def since(self, value: int, now: float) -> float:
        """Note the number; return the seconds for which it has been the same."""
        if value != self._value:
            self._value, self._since = value, now
        return now - self._since

    def restart(self, now: float) -> None:
        """Begin to count anew."""
        self._since = now
