"""The daemon in one server's graph, from joining to leaving it."""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import StrEnum
from time import monotonic

from stemd.daemon.engine.link import RAMP_S, Counters, Event, RealtimeSide
from stemd.daemon.engine.networks import LoadedNetworks
from stemd.daemon.engine.rights import Notice
from stemd.daemon.engine.scheduling import (
    NORMAL,
    Priorities,
    give_back_memory,
    keep_scheduled,
    permitted_by_rtkit,
    priorities_below,
    set_steering_priority,
)
from stemd.daemon.engine.separation import Separation
from stemd.daemon.errors import StemdError
from stemd.daemon.graph.client import GraphClient
from stemd.daemon.graph.patchbay import Patchbay
from stemd.daemon.ports import INPUTS, MIDI, OUTPUTS, outputs_of
from stemd.daemon.supervisor.calls import apart
from stemd.daemon.supervisor.health import Advance, Health
from stemd.daemon.supervisor.swap import Phase, Step, after
from stemd.dsp.masks import MaskExtension
from stemd.dsp.scheme import HOP_LENGTH, SAMPLERATE, Scheme

log = logging.getLogger(__name__)

TICK_S = 0.25
"""How often a session wants to be looked after."""

SILENT_S = 1.0
"""When a cycle is so long overdue the server counts as silent."""

SUSPENDED_S = 5.0
"""After so long without a cycle nothing is expected of the server's thread: another setup is taken
without having been heard."""

REMOVED_S = 2.0
"""For so long the server must not know our ports before we believe that they are gone: PipeWire
may fail the question while somebody else's port vanishes."""

LOAD_AGAIN_S = 10.0
"""How long to wait where networks could not be loaded anew."""

KEEP_UP_S = 10.0
"""How long another setup may be late, beyond two blocks, before it is given up."""

SHORTER_AFTER_S = 30.0
"""For how long the delay must have had room for longer periods than there are before it gets
shorter: programs that come and go change PipeWire's periods."""

FAILURES, FAILURES_S = 5, 60.0
"""So many engines that fail within so many seconds are more than can be mended."""

LEFT_BEHIND = 1
"""How many separations may hang at once: each keeps a set of networks in memory."""


class State(StrEnum):
    """What the daemon is doing."""

    LOADING = "loading"
    """The networks are being loaded; there are no ports yet."""
    WAITING = "waiting"
    """No server answers."""
    SILENT = "silent"
    """The server does not call: it is stopped, or suspended for want of connections."""
    PLAYING = "playing"
    """The stems are heard."""
    OVERLOADED = "overloaded"
    """The networks do not keep up: the dry signal is heard."""
    MENDING = "mending"
    """The engine failed, or did not fit the server: the dry signal is heard until the next one is
    warm."""
    BYPASSED = "bypassed"
    """The dry signal is heard because somebody asked for it."""


class ServerGoneError(Exception):
    """The server went away."""


class SessionOverError(Exception):
    """The session ended before it was decided whether others take over."""


@dataclass(frozen=True)
class Setup:
    """What is to play."""

    networks: LoadedNetworks
    scheme: Scheme
    extension: MaskExtension
    longest_period: int
    """Frames of the longest period for which the delay is to have room."""


class Change:
    """Another setup that is to take over: as a whole, or not at all.

    Parameters
    ----------
    setup : Setup
        Nothing else uses its networks.
    commit : callable
        Called on the main thread as soon as it is certain, just before anything of it is heard.

    Attributes
    ----------
    done : Future
        Has a result when nothing else is heard any more. A `StemdError`: nothing is changed.
        `SessionOverError`: nothing is decided.
    ended : Future
        Has a result when what plays no more is out of memory, too.
    """

    def __init__(self, setup: Setup, commit: Callable[[], None]) -> None:
        self.setup = setup
        self.commit = commit
        self.done: Future[None] = Future()
        self.ended: Future[None] = Future()

    @classmethod
    def made(cls, setup: Setup) -> "Change":
        """Return a change that is over, for it took no other separation."""
        change = cls(setup, lambda: None)
        change.done.set_result(None)
        change.ended.set_result(None)
        return change


@dataclass(frozen=True)
class Live:
    """A separation that runs, and what it was made of."""

    separation: Separation
    setup: Setup
    number: int
    """Of the set of networks."""
    health: Health

    def fits(self, samplerate: int, period: int) -> bool:
        """Whether it was made for such a server."""
        separation = self.separation
        return separation.samplerate == samplerate and separation.longest_period >= period

    def end(self) -> bool:
        """End its threads; False if one of them hangs, and its networks can be used no more."""
        if self.separation.stop():
            return True
        self.setup.networks.give_up(self.number)
        return False


class Session:
    """A client, its ports, and the separations that play through them one after the other.

    One separation plays. `swap` has the phases in which another one takes its place: because it
    failed, because it does not fit the server any more, or because another setup is wanted.

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
        self._setup = Setup(networks, scheme, extension, longest_period)
        self._patchbay = patchbay
        self._in_graph_at = float("inf")
        self._is_bypassed = is_bypassed
        self._silent_s = 0.0
        self._cycles = Advance()
        self._phase = Phase.FADING
        self._coming: Live | None = None
        """Is to take over from what plays."""
        self._change: Change | None = None
        """Not decided yet, and perhaps not begun."""
        self._decided: Change | None = None
        """Decided, but something of what plays no more is left."""
        self._job = _finished()
        """What another thread is at."""
        self._is_failed = False
        """What plays has failed."""
        self._is_outdated = False
        """What plays has failed, has been ended, or is not what is to play."""
        self._are_suspect = False
        """The networks have failed, and must be loaded anew."""
        self._load_at = 0.0
        self._room_since: float | None = None
        self._can_shorten = False
        self._failed_at: deque[float] = deque(maxlen=FAILURES)
        self._left_behind: list[Separation] = []
        self._priorities = Priorities()
        self._server_priority = (NORMAL, NORMAL)
        """And what rtkit permits below it."""
        self._rights = Notice()
        self.rt = RealtimeSide(len(INPUTS), len(OUTPUTS), client.samplerate, ramp_s)
        client.bind(self.rt, INPUTS, [])
        self._ports: dict[str, int] = {}
        self._has_unused_ports = False
        self._add_ports(networks.stems)
        self._inputs: tuple[str, ...] = INPUTS
        if has_midi:
            client.add_midi(MIDI)
            self._inputs = (*INPUTS, MIDI)
        self._playing = self._make(self._setup)
        """Plays; at first it is to."""
        try:
            self._attach(self._playing)
            client.activate()
            client.declare_latency()
        except BaseException:
            self._playing.end()
            raise

    @property
    def separation(self) -> Separation:
        """The one that plays; at first the one that is to."""
        return self._playing.separation

    @property
    def networks(self) -> LoadedNetworks:
        """Those that play, or are to."""
        return self._setup.networks

    @property
    def phase(self) -> Phase:
        """How far it is on its way to another separation."""
        return self._phase

    @property
    def state(self) -> State:
        """What is heard."""
        if self._silent_s > SILENT_S:
            return State.SILENT
        if self._is_failed or self.separation.is_stopped:
            return State.MENDING
        if self._is_bypassed:
            return State.BYPASSED
        return State.OVERLOADED if self.separation.is_overloaded else State.PLAYING

    @property
    def stems(self) -> tuple[str, ...]:
        """What is heard: while one separation takes over from another, the stems of both."""
        heard = self._lives() if self._phase is Phase.FADING else [self._playing]
        return tuple(dict.fromkeys(stem for each in heard for stem in each.separation.stems))

    @property
    def can_shorten(self) -> bool:
        """Whether the delay has had room for longer periods than there are for some time."""
        return self._can_shorten

    def put_off_shortening(self) -> None:
        """Begin to count that time anew."""
        self._room_since = None
        self._can_shorten = False

    def bypass(self, on: bool) -> None:
        """Fade to the dry signal, or back to the stems."""
        self._is_bypassed = on
        for each in self._lives():
            each.separation.bypass(on)

    def change(self, setup: Setup, commit: Callable[[], None] = lambda: None) -> Change:
        """Go over to another setup, by a cross-fade, once it has shown that it can play.

        It hears the music beside what plays. If it fails, or does not keep up, it is taken back
        before anything of it is heard. See `Change`.

        Raises
        ------
        StemdError
            The last change has not ended.
        """
        if self._change or self._decided:
            raise StemdError("another setup is on its way: try again when that has ended")
        self._change = Change(setup, commit)
        return self._change

    def extend_masks(self, extension: MaskExtension) -> None:
        """Do otherwise above the networks' last bin, from the next hop on."""
        self._setup = replace(self._setup, extension=extension)
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
        if events & (Event.SWAPPED | Event.PERIOD):  # JACK tells the others of neither
            self.client.declare_latency()
        if Event.LATENCY in events:
            self.rt.answer_latency()
        counters = self.rt.counters()
        self._listen(counters, now)
        self._follow_priority(counters, now)
        if counters.periods:
            self._rights.look(counters.priority, now, self.separation.are_networks_lowered)
        self._follow_link(events)
        self._note_failure(now)
        self._go_on(now)
        if self._has_unused_ports and not self.rt.freewheeling:
            self._remove_ports()
        self._note_room(now)
        self.client.describe()
        self._patchbay.look(self.client, self._inputs, now)

    def close(self) -> None:
        """Leave the graph and end all threads."""
        set_steering_priority(NORMAL)
        self._patchbay.server_went(monotonic())
        for each in self._lives():
            each.separation.link.release()  # a bounce that waits for the engine holds the server
        try:
            self.client.close()
        finally:
            for each in self._lives():
                each.end()
            self._refuse(SessionOverError())
            self._end_change()

    def _lives(self) -> list[Live]:
        return [self._playing, self._coming] if self._coming else [self._playing]

    # ---- how it is ----

    def _listen(self, counters: Counters, now: float) -> None:
        """Note whether the server calls."""
        period_s = counters.period / self.client.samplerate
        # From when the next cycle is due: a long period at a low rate may last a second.
        self._silent_s = max(self._cycles.since(counters.periods, now) - period_s, 0)
        if self._silent_s > SILENT_S / 2:  # no wonder that nothing comes out
            for each in self._lives():
                each.health.excuse(now)

    def _follow_priority(self, counters: Counters, now: float) -> None:
        """Keep below the server's thread."""
        permitted = permitted_by_rtkit()
        if keep_scheduled(now):
            log.warning("a thread ran for longer than rtkit permits: it has its priority no more")
        if (counters.priority, permitted) != self._server_priority:
            self._server_priority = (counters.priority, permitted)
            self._priorities = priorities_below(counters.priority)
            self._set_priorities()
            set_steering_priority(self._priorities.steering)

    def _set_priorities(self) -> None:
        """Schedule what plays, and below it what is tried beside it."""
        self.separation.set_priorities(self._priorities)
        if self._coming:
            workers = self._priorities.workers
            lower = self._phase is Phase.WARMING and workers > 1
            wanted = replace(self._priorities, workers=workers - lower)
            self._coming.separation.set_priorities(wanted)

    @property
    def _is_suspended(self) -> bool:
        """Whether the server has stopped to call; a bounce may just wait for an engine."""
        return self._silent_s > SUSPENDED_S and not self.rt.freewheeling

    def _note_failure(self, now: float) -> None:
        """See whether what plays has failed."""
        if self._is_failed or self.separation.is_stopped:
            return
        if trouble := self._playing.health.trouble(now):
            self._count_failure(trouble, now)
            self._is_failed = self._is_outdated = self._are_suspect = True
            self.separation.link.release()  # a bounce must not wait for it

    def _count_failure(self, trouble: str, now: float) -> None:
        """Log it.

        Raises
        ------
        StemdError
            It happens again and again.
        """
        log.error("the separation failed: %s; the input is heard until it is mended", trouble)
        self._failed_at.append(now)
        if len(self._failed_at) == FAILURES and now - self._failed_at[0] < FAILURES_S:
            raise StemdError(
                f"the separation failed {FAILURES} times within {FAILURES_S:.0f} s, the last time: "
                f"{trouble}"
            )

    def _note_room(self, now: float) -> None:
        """Note since when the delay has had room for longer periods than there are."""
        has_room = self.separation.longest_period > self._longest_period(self._setup)
        if self._phase is not Phase.STEADY or not has_room:
            self.put_off_shortening()
            return
        self._room_since = now if self._room_since is None else self._room_since
        self._can_shorten = now - self._room_since >= SHORTER_AFTER_S

    def _fits(self, live: Live) -> bool:
        return live.fits(self.client.samplerate, self.rt.counters().period)

    # ---- from one separation to the next ----

    def _follow_link(self, events: Event) -> None:
        """Take note of what the server's thread has done."""
        if Event.SWAPPED in events and self._phase is Phase.FADING:
            before = []
            if self._coming:
                before, self._playing, self._coming = [self._playing], self._coming, None
                self._is_failed = False
                self._is_outdated = self.separation.is_stopped
            self._retire(Step.SWAPPED, before)
        if Event.WITHDRAWN in events and self._coming:
            withdrawn, self._coming = [self._coming], None
            self._retire(Step.WITHDRAWN, withdrawn)

    def _go_on(self, now: float) -> None:
        """Do the next step, as far as it is time for it."""
        if self._phase is Phase.WARMING and self._coming and self._change:
            self._judge(self._coming, self._change, now)
        elif self._phase is Phase.FADING and self._coming:
            self._watch(self._coming, now)
        elif self._phase is Phase.LOADING and self._job.done():
            self._follow_load(now)
        elif self._phase is Phase.RETIRING and self._job.done():
            self._step(Step.ENDED)
            self._end_change()
        if self._phase in (Phase.STEADY, Phase.PAUSING):
            self._begin(now)
        elif self._phase in (Phase.FADING, Phase.WITHDRAWING) and self._is_suspended:
            self._go_on_in_silence()

    def _go_on_in_silence(self) -> None:
        """Do without the server's thread, which lets go of nothing while the server is silent."""
        if self._change and self._phase is Phase.FADING:
            self._adopt(self._change)
        self._resolve()
        if not self._decided or not self._job.done():
            return
        obsolete = self._lives()
        if self._phase is Phase.WITHDRAWING:
            obsolete = obsolete[1:]
        elif not self._is_outdated:
            obsolete = obsolete[:1]
        running = [each for each in obsolete if not each.separation.is_stopped]
        if running:
            self._end_apart(running)
        else:
            self._end_change()

    def _adopt(self, change: Change) -> None:
        """Let another setup be what is to play as soon as the server calls."""
        try:
            self._add_ports(change.setup.networks.stems)
        except StemdError as error:
            self._refuse(error)
            self._end_change()
            return
        self._setup = change.setup
        self._is_outdated, self._are_suspect = True, False
        change.commit()
        self._change, self._decided = None, change

    def _begin(self, now: float) -> None:
        """Begin with another separation, if one is wanted."""
        if self._change:
            self._try(self._change)
        elif self._phase is Phase.PAUSING:
            if now >= self._load_at:
                self._load()
        elif self._is_outdated:
            self._load()
        elif not self._fits(self._playing):
            if self.separation.samplerate != self.client.samplerate:
                log.info("the server plays at %d Hz now", self.client.samplerate)
            else:
                log.info("the server's periods are of %d frames now", self.rt.counters().period)
            self._load()

    def _load(self) -> None:
        """End what plays, and see that there are networks for the next one."""
        playing, networks, suspect = self._playing, self.networks, self._are_suspect

        def make_ready() -> None:
            self._end(playing)
            if suspect:
                networks.load_anew()
            else:
                networks.ensure()
            give_back_memory()

        self._check_left_behind()
        self._is_outdated = True
        self._step(Step.LOAD)
        self._do_apart(make_ready, "stemd-load")

    def _follow_load(self, now: float) -> None:
        """Have what was made ready take over; later, if it could not be made."""
        try:
            self._job.result()
            self._coming = self._make(self._setup)
            self._attach(self._coming)
        except Exception as error:  # noqa: BLE001 - whatever it is, the dry signal is heard
            self._load_at = now + LOAD_AGAIN_S
            log.error("%s; the next attempt is in %.0f s", error, LOAD_AGAIN_S)
            self._step(Step.FAILED)
        else:
            self._is_outdated = self._are_suspect = False
            self._step(Step.LOADED)

    def _try(self, change: Change) -> None:
        """Let another setup hear the music, unheard."""
        try:
            self._add_ports(change.setup.networks.stems)
            self._coming = self._make(change.setup)
            self._coming.separation.link.hold(True)
            self._attach(self._coming)
        except Exception as error:  # noqa: BLE001 - whatever it is, what plays goes on
            if self._coming:
                self._coming.end()
                self._coming = None
            self._refuse(error)
            self._remove_ports()
            self._end_change()
        else:
            self._step(Step.TRY)
            self._set_priorities()

    def _judge(self, coming: Live, change: Change, now: float) -> None:
        """Decide whether another setup takes over."""
        separation = coming.separation
        blocks, heard = separation.report().blocks, separation.link.counters().frames
        patience = separation.delay + separation.samplerate * (
            KEEP_UP_S + 2 * change.setup.scheme.B * HOP_LENGTH / SAMPLERATE
        )
        keeps_up = blocks.in_time_in_a_row > 0 and not separation.is_overloaded
        if trouble := coming.health.trouble(now):
            self._withdraw(coming, StemdError(trouble))
        elif not self._fits(coming):
            self._withdraw(coming, None)
        elif self._is_suspended or (heard >= separation.delay and keeps_up):
            self._admit(coming, change)
        elif heard > patience:
            late = f"{blocks.late} of {blocks.total} blocks were late"
            self._withdraw(coming, StemdError(f"the networks do not keep up: {late}"))

    def _admit(self, coming: Live, change: Change) -> None:
        """Let another setup take over; from here on there is no way back."""
        self._step(Step.ADMIT)
        self._setup = change.setup
        self._is_outdated = self._are_suspect = False
        change.commit()
        self._patchbay.look(self.client, self._inputs, monotonic())
        self._set_priorities()
        coming.separation.link.hold(False)
        self._change, self._decided = None, change

    def _watch(self, coming: Live, now: float) -> None:
        """Take back what is to take over if it fails before it plays."""
        trouble = coming.health.trouble(now)
        is_stopped = coming.separation.is_stopped
        fits = self._fits(coming) and not is_stopped
        if (trouble or not fits) and self._withdraw(coming, None):
            self._is_outdated = True
            if trouble and not is_stopped:
                self._are_suspect = True
                self._count_failure(trouble, now)

    def _withdraw(self, coming: Live, reason: StemdError | None) -> bool:
        """Take back what comes; for a reason for good. False if it plays already."""
        if not self.rt.withdraw(coming.separation.link):
            return False
        coming.separation.link.release()
        if reason:
            self._refuse(reason)
        self._step(Step.WITHDRAW)
        return True

    def _retire(self, step: Step, ended: list[Live]) -> None:
        """End what does not play any more, and unregister the ports that nothing uses."""
        self._step(step)
        self._resolve()
        self._remove_ports()
        self._job = _finished()
        if ended:
            self._end_apart(ended)

    # ---- tools ----

    def _step(self, step: Step) -> None:
        self._phase = after(self._phase, step)

    def _do_apart(self, work: Callable[[], None], name: str) -> None:
        """Have another thread do what takes long; `tick` sees when it is done."""
        self._job = apart(work, name)
        self._job.add_done_callback(lambda _: self.rt.wake())

    def _end_apart(self, lives: list[Live]) -> None:
        """End them and forget them, on another thread."""

        def end() -> None:
            while lives:
                self._end(lives.pop())
            give_back_memory()  # what has ended refers to itself

        self._do_apart(end, "stemd-retire")

    def _end(self, live: Live) -> None:
        if not live.end():
            self._left_behind.append(live.separation)

    def _check_left_behind(self) -> None:
        """See that what hangs does not fill the memory.

        Raises
        ------
        StemdError
            Too much does.
        """
        self._left_behind = [each for each in self._left_behind if each.is_running]
        if len(self._left_behind) > LEFT_BEHIND:
            raise StemdError(
                "the networks hang again and again, and what hangs keeps its memory: start stemd "
                "anew; stemd models verify checks the networks"
            )

    def _refuse(self, error: Exception) -> None:
        """Let it be known that the change that was wanted is not made."""
        if self._change:
            self._change.done.set_exception(error)
            self._change, self._decided = None, self._change

    def _resolve(self) -> None:
        """Let it be known that what was decided has happened."""
        if self._decided and not self._decided.done.done():
            self._decided.done.set_result(None)

    def _end_change(self) -> None:
        """Let it be known that nothing is left of what plays no more."""
        self._resolve()
        if self._decided:
            self._decided.ended.set_result(None)
            self._decided = None

    def _longest_period(self, setup: Setup) -> int:
        """Return the frames for which the delay must have room."""
        return max(setup.longest_period, self.client.period, self.rt.counters().period)

    def _make(self, setup: Setup) -> Live:
        """Make a separation.

        Raises
        ------
        StemdError
            There is no memory, or no network that can be used.
        """
        if not setup.networks.by_stem:
            raise StemdError("a network hangs, and the set that it is of cannot be used any more")
        separation = Separation(
            setup.networks.by_stem,
            setup.scheme,
            setup.extension,
            self.rt,
            self.client.samplerate,
            self._longest_period(setup),
            setup.networks.masks,
        )
        separation.set_priorities(self._priorities)
        separation.bypass(self._is_bypassed)
        return Live(separation, setup, setup.networks.number, Health(separation, setup.scheme))

    def _attach(self, live: Live) -> None:
        """Let the server's thread take it up."""
        if not self.rt.attach(live.separation.link):
            live.end()
            raise StemdError("another separation is still on its way: try again")

    def _add_ports(self, stems: Iterable[str]) -> None:
        """Register those that are not there.

        Raises
        ------
        ServerError
            The server refuses.
        """
        ports = outputs_of(stems)
        new = {name: slot for name, slot in ports.items() if name not in self._ports}
        self.client.add_outputs(new)
        self._ports |= new

    def _remove_ports(self) -> None:
        """Unregister those that nothing uses any more, but not during an offline bounce."""
        setups = [self._setup, *(each.setup for each in self._lives())]
        if self._change:
            setups.append(self._change.setup)
        used = outputs_of({stem for each in setups for stem in each.networks.stems})
        unused = {name: slot for name, slot in self._ports.items() if name not in used}
        self._has_unused_ports = self.rt.freewheeling or not self.client.remove_outputs(unused)
        if not self._has_unused_ports:
            self._ports = {name: slot for name, slot in self._ports.items() if name in used}


def _finished() -> "Future[None]":
    future: Future[None] = Future()
    future.set_result(None)
    return future
