"""Replaces the separation that plays by another one; `swap` defines the phases and transitions."""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import reduce
from operator import or_

from stemd.daemon.engine.realtime import Event, RealtimeSide
from stemd.daemon.engine.scheduling import Priorities, give_back_memory
from stemd.daemon.errors import StemdError
from stemd.daemon.graph.client import GraphClient
from stemd.daemon.supervisor.calls import apart
from stemd.daemon.supervisor.changes import Change, SessionOverError, Setup
from stemd.daemon.supervisor.failures import Failures, LeftBehind
from stemd.daemon.supervisor.health import Verdict
from stemd.daemon.supervisor.live import Live, Maker
from stemd.daemon.supervisor.output_ports import OutputPorts
from stemd.daemon.supervisor.state import TRANSITION
from stemd.daemon.supervisor.swap import Need, Phase, Sign, Step, after, lead
from stemd.dsp.mask_kinds import MaskExtension

log = logging.getLogger(__name__)

LOAD_AGAIN_S = 10.0
"""Seconds until networks that could not be loaded are loaded again."""

SIGNS_OF = {Verdict.READY: Sign.COMING_READY, Verdict.TOO_LATE: Sign.COMING_LATE}


class Swapper:
    """Replaces the separation that plays by another one, phase by phase (main thread).

    A separation is replaced because it failed, because it does not fit the server any more, or
    because another setup is wanted. The first one is attached at once, and fades in.

    Parameters
    ----------
    client : GraphClient
        Bound to ``rt``.
    rt : RealtimeSide
    setup : Setup
    is_bypassed : bool
        Begin with the dry signal.
    on_admit : callable
        Called just before another setup is heard, when its ports are there.

    Attributes
    ----------
    phase : Phase
    setup : Setup
        What is to play.
    playing : Live
        What plays; at first what is to.
    coming : Live or None
        What is to take over from it.
    change : Change or None
        The one that has not ended.
    job : Future
        What another thread is doing.
    """

    def __init__(
        self,
        client: GraphClient,
        rt: RealtimeSide,
        setup: Setup,
        is_bypassed: bool,
        on_admit: Callable[[], None],
    ) -> None:
        self.phase = Phase.FADING
        self.setup = setup
        self.coming: Live | None = None
        self.change: Change | None = None
        self.job = _finished()
        self._client = client
        self._rt = rt
        self._on_admit = on_admit
        self._need = Need.NOTHING
        self._load_at = 0.0
        self._failures = Failures()
        self._left_behind = LeftBehind()
        self._ports = OutputPorts(client, rt)
        self._maker = Maker(client, rt, is_bypassed)
        self._ports.add(setup.networks.stems)
        self._server = (client.samplerate, 0)
        """Its sample rate and period, as seen last."""
        self.playing = self._maker.make(setup)

    @property
    def lives(self) -> list[Live]:
        """The separations that run (any thread)."""
        coming = self.coming  # other threads ask too
        return [self.playing, coming] if coming else [self.playing]

    @property
    def stems(self) -> tuple[str, ...]:
        """The stems that are heard; during a cross-fade, those of both separations."""
        heard = self.lives if self.phase is Phase.FADING else [self.playing]
        return tuple(dict.fromkeys(stem for each in heard for stem in each.separation.stems))

    @property
    def is_recovering(self) -> bool:
        """Whether the dry signal is heard because the separation has failed or was ended."""
        return self.playing.has_failed or self.playing.separation.is_stopped

    @property
    def has_room(self) -> bool:
        """Whether the delay has room for longer periods than there are."""
        return self.playing.separation.longest_period > self._maker.longest_period(self.setup)

    def want(self, change: Change) -> None:
        """Begin to change to another setup, which takes over once it has shown that it keeps up.

        Raises
        ------
        StemdError
            The last change has not ended.
        """
        if self.change:
            raise StemdError("another change is under way: try again when it has ended")
        self.change = change

    def bypass(self, on: bool) -> None:
        """Fade to the dry signal, or back to the stems."""
        self._maker.is_bypassed = on
        for each in self.lives:
            each.separation.bypass(on)

    def extend_masks(self, extension: MaskExtension) -> None:
        """Change how masks are extended above the networks' last bin, from the next hop on."""
        self.setup = replace(self.setup, extension=extension)
        for each in self.lives:
            if each is self.playing or not self._wanted:  # what is tried has masks of its own
                each.separation.extend_masks(extension)

    def set_priorities(self, priorities: Priorities) -> None:
        """Schedule the threads of the separation that plays, and those of the next one below."""
        self._maker.priorities = priorities
        self._set_priorities()

    def look(self, events: Event, now: float, is_suspended: bool) -> None:
        """Make all steps that are due.

        Parameters
        ----------
        events : Event
        now : float
            Seconds of a monotonic clock.
        is_suspended : bool
            The server has stopped calling.

        Raises
        ------
        StemdError
            The daemon cannot go on.
        """
        self._log_server()
        self._go_on(_signs_in(events), now)
        self._note_failure(now)
        while self._go_on(self._signs(now, is_suspended), now):
            pass
        if self._ports.has_unused:
            self._remove_ports()

    def release(self) -> None:
        """Stop the server's thread from waiting for the engines (any thread)."""
        for each in self.lives:
            each.separation.link.release()

    def close(self) -> None:
        """End the threads of all separations at once; the server must not call any more."""
        for ended in [apart(each.end, "stemd-retire") for each in self.lives]:
            ended.result()
        if self.change:
            self.change.refuse(SessionOverError())
            self._end_change()

    def _log_server(self) -> None:
        """Log what the server has changed, where another delay is the consequence."""
        before, self._server = self._server, (self._client.samplerate, self._rt.counters().period)
        samplerate, period = self._server
        if samplerate != before[0]:
            log.info("the server plays at %d Hz now", samplerate, extra=TRANSITION)
        if period != before[1] and period > self.playing.separation.longest_period:
            log.info("the server's periods are of %d frames now", period, extra=TRANSITION)

    # ---- which step is to be made ----

    def _go_on(self, signs: Sign, now: float) -> bool:
        """Make one step; return False if none is due."""
        found = lead(self.phase, signs)
        if found is None:
            return False
        (sign, step), wanted = found, self._wanted
        match step:
            case Step.TRY if wanted:
                self._try(wanted)
            case Step.LOAD:
                self._load()
            case Step.LOADED:
                self._take_loaded(now)
            case Step.ADMIT if wanted and self.coming:
                self._admit(self.coming, wanted)
            case Step.WITHDRAW if self.coming:
                return self._withdraw(self.coming, sign, now)
            case Step.SWAPPED | Step.WITHDRAWN:
                self._retire(step)
            case Step.ENDED:
                self._step(Step.ENDED)
                self._end_change()
            case Step.SETTLE:
                self._settle()
                return False
            case _:
                return False
        return True

    def _signs(self, now: float, is_suspended: bool) -> Sign:
        seen = {
            Sign.WANTED: self._wanted is not None,
            Sign.NEEDED: self._need is not Need.NOTHING,
            Sign.UNFIT: not self._maker.fits(self.playing),
            Sign.DONE: self.job.done(),
            Sign.RESTED: now >= self._load_at,
            Sign.SUSPENDED: is_suspended,
        }
        signs = reduce(or_, (sign for sign, is_seen in seen.items() if is_seen), Sign.NONE)
        return signs | self._sign_of_coming(now)

    def _sign_of_coming(self, now: float) -> Sign:
        coming = self.coming
        if coming is None or self.phase not in (Phase.WARMING, Phase.FADING):
            return Sign.NONE
        trouble, is_stopped = coming.look(now), coming.separation.is_stopped
        if trouble and not is_stopped:
            return Sign.COMING_FAILED
        if is_stopped or not self._maker.fits(coming):
            return Sign.COMING_UNFIT
        return SIGNS_OF.get(coming.verdict(), Sign.NONE)

    @property
    def _wanted(self) -> Change | None:
        """The change, while it is not decided."""
        return self.change if self.change and not self.change.is_decided else None

    def _note_failure(self, now: float) -> None:
        playing = self.playing
        if not self.is_recovering and (trouble := playing.look(now)):
            self._failures.count(trouble, now)
            playing.has_failed = True
            self._need = Need.NETWORKS
            playing.separation.link.release()  # a bounce must not wait for it

    # ---- the steps ----

    def _step(self, step: Step) -> None:
        self.phase = after(self.phase, step)

    def _load(self) -> None:
        """End the separation and load networks for the next one, on a helper thread."""
        playing, networks = self.playing, self.setup.networks
        is_suspect, left_behind = self._need is Need.NETWORKS, self._left_behind

        def make_ready() -> None:
            left_behind.end(playing)
            if is_suspect:
                networks.load_anew()
            else:
                networks.ensure()
            give_back_memory()

        left_behind.check()
        self._need = max(self._need, Need.SEPARATION)
        self._step(Step.LOAD)
        self._do_apart(make_ready, "stemd-load")

    def _take_loaded(self, now: float) -> None:
        """Let the next separation take over; pause if its networks could not be loaded."""
        try:
            self.job.result()
            self.coming = self._maker.make(self.setup)
        except Exception as error:  # noqa: BLE001 - whatever it is, the dry signal is heard
            self._load_at = now + LOAD_AGAIN_S
            log.error("%s; the next attempt is in %.0f s", error, LOAD_AGAIN_S)
            self._step(Step.FAILED)
        else:
            self._need = Need.NOTHING
            self._step(Step.LOADED)

    def _try(self, change: Change) -> None:
        """Start a separation of another setup, which processes the music but is not heard."""
        try:
            self._ports.add(change.setup.networks.stems)
            self.coming = self._maker.make(change.setup, is_held=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, what plays goes on
            change.refuse(error)
            self._remove_ports()
            self._end_change()
        else:
            self._step(Step.TRY)
            self._set_priorities()

    def _admit(self, coming: Live, change: Change) -> None:
        """Let another setup take over; from now on it cannot be refused."""
        self._step(Step.ADMIT)
        self.setup = change.setup
        self._need = Need.NOTHING
        change.admit()
        self._on_admit()
        self._set_priorities()
        coming.separation.link.hold(False)

    def _withdraw(self, coming: Live, sign: Sign, now: float) -> bool:
        """Withdraw the next separation; return False if it plays already."""
        if not self._rt.withdraw(coming.separation.link):
            return False
        coming.separation.link.release()
        was_heard = self.phase is Phase.FADING
        self._step(Step.WITHDRAW)
        if was_heard:
            self._need = max(self._need, Need.SEPARATION)
            if sign is Sign.COMING_FAILED:
                self._need = Need.NETWORKS
                self._failures.count(coming.trouble or "", now)
        elif self.change and sign is Sign.COMING_LATE:
            self.change.refuse(StemdError(f"the networks do not keep up: {coming.lateness()}"))
        elif self.change and sign is Sign.COMING_FAILED:
            self.change.refuse(StemdError(coming.trouble or ""))
        return True

    def _retire(self, step: Step) -> None:
        """End the separation that the server's thread has released; remove unused ports."""
        ended = [self.coming] if self.coming else []
        self.coming = None
        if step is Step.SWAPPED and ended:
            self.playing, ended[0] = ended[0], self.playing
            is_stopped = self.playing.separation.is_stopped
            self._need = Need.SEPARATION if is_stopped else Need.NOTHING
        self._step(step)
        if self.change:
            self.change.resolve()
        self._remove_ports()
        self.job = _finished()
        if ended:
            self._end_apart(ended)

    def _settle(self) -> None:
        """Complete a change while the server does not call, so that its thread releases nothing.

        Nothing is heard, so the setup need not be tried; separations that will not play are ended.
        """
        if self._wanted:
            self._adopt(self._wanted)
        if not self.change or self._wanted:
            return
        self.change.resolve()
        if not self.job.done():
            return
        running = [each for each in self._obsolete() if not each.separation.is_stopped]
        if running:
            self._end_apart(running)
        else:
            self._end_change()

    def _adopt(self, change: Change) -> None:
        """Let another setup play as soon as the server calls."""
        try:
            self._ports.add(change.setup.networks.stems)
        except StemdError as error:
            change.refuse(error)
            self._end_change()
            return
        self.setup = change.setup
        self._need = Need.SEPARATION
        change.admit()

    def _obsolete(self) -> list[Live]:
        """Return the separations that will not play when the server calls again."""
        if self._need is not Need.NOTHING:
            return self.lives
        return self.lives[1:] if self.phase is Phase.WITHDRAWING else self.lives[:1]

    # ---- tools ----

    def _do_apart(self, work: Callable[[], None], name: str) -> None:
        """Do long work on a helper thread; `look` notices its end."""
        self.job = apart(work, name)
        self.job.add_done_callback(lambda _: self._rt.wake())

    def _end_apart(self, lives: list[Live]) -> None:
        """End separations and forget them, on another thread."""
        left_behind = self._left_behind

        def end() -> None:
            while lives:
                left_behind.end(lives.pop())
            give_back_memory()  # what has ended refers to itself

        self._do_apart(end, "stemd-retire")

    def _end_change(self) -> None:
        """End a change that is decided: nothing of the other separation is left."""
        if self.change and self.change.is_decided:
            self.change.end()
            self.change = None

    def _remove_ports(self) -> None:
        """Unregister the ports that nothing uses any more."""
        setups = [self.setup, *(each.setup for each in self.lives)]
        if self._wanted:
            setups.append(self._wanted.setup)
        self._ports.keep_only({stem for each in setups for stem in each.networks.stems})

    def _set_priorities(self) -> None:
        priorities = self._maker.priorities
        self.playing.separation.set_priorities(priorities)
        if self.coming:
            lower = self.phase is not Phase.FADING and priorities.workers > 1
            wanted = replace(priorities, workers=priorities.workers - lower)
            self.coming.separation.set_priorities(wanted)


def _signs_in(events: Event) -> Sign:
    """Return the signs in what the server's thread has reported."""
    swapped = Sign.SWAPPED if Event.SWAPPED in events else Sign.NONE
    return swapped | (Sign.WITHDRAWN if Event.WITHDRAWN in events else Sign.NONE)


def _finished() -> "Future[None]":
    future: Future[None] = Future()
    future.set_result(None)
    return future
