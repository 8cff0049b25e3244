"""The daemon: waits for servers, plays in their graphs, and does what it is told meanwhile."""

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import inf
from threading import Lock
from time import monotonic
from typing import Any, TypeVar

from stemd.daemon.config import Config
from stemd.daemon.control.bindings import Binding, with_learned
from stemd.daemon.control.bulletin import Bulletin
from stemd.daemon.control.interfaces.midi_control import MidiControl
from stemd.daemon.control.mixer import Mixer, Strip, level
from stemd.daemon.control.saved_state import Keeper, Kept
from stemd.daemon.engine.link import Event
from stemd.daemon.engine.scheduling import (
    give_back_memory,
    hurry_interpreter,
    settle_memory,
    steering_thread,
)
from stemd.daemon.errors import ServerError, StemdError
from stemd.daemon.graph.client import GraphClient
from stemd.daemon.graph.patchbay import Patchbay
from stemd.daemon.ports import STEMS, StemName, outputs_of
from stemd.daemon.supervisor.calls import Calls, apart
from stemd.daemon.supervisor.health import Flow
from stemd.daemon.supervisor.joining import LOOK_S, Joiner
from stemd.daemon.supervisor.notifier import Notifier
from stemd.daemon.supervisor.plan import Plan, differences, is_at_start
from stemd.daemon.supervisor.session import (
    LOAD_AGAIN_S,
    TICK_S,
    Change,
    ServerGoneError,
    Session,
    SessionOverError,
    Setup,
    State,
)
from stemd.daemon.supervisor.status import Loads, Meters, describe, in_a_line
from stemd.tflite_models.errors import ModelError

log = logging.getLogger(__name__)

STATUS_S = 2.0
"""How often the service manager is told how it is, and what was set is kept."""

RELOAD_PAUSE_S = 1.0
"""How long after a reload that signals and OSC asked for the next one begins at the earliest."""

SAVE_S = 5.0
"""How long to wait at most until what is set is kept."""

Result = TypeVar("Result")


class Daemon:
    """Waits for a server, plays in its graph until it goes away, and waits for the next one.

    Parameters
    ----------
    config : Config
        What was read first.
    replan : callable
        Makes the first plan, given None, or reads the configuration anew and makes the plan that
        follows this one. It loads networks, and is called on threads of its own.
    join : callable
        Opens a client, or raises `ServerError` while no server answers.
    mixer : Mixer
    keeper : Keeper
    notifier : Notifier

    Attributes
    ----------
    session : Session or None
        While there is a server.
    config : Config
        What counts.
    plan : Plan or None
        As soon as networks are loaded.
    mixer : Mixer
        The only one that knows which stems there are.
    bulletin : Bulletin
        Where it is told what happens.
    """

    def __init__(
        self,
        config: Config,
        replan: Callable[[Plan | None], Plan],
        join: Callable[[], GraphClient],
        mixer: Mixer,
        keeper: Keeper,
        notifier: Notifier,
    ) -> None:
        self.session: Session | None = None
        self.config = config
        self.plan: Plan | None = None
        self.mixer = mixer
        self.bulletin = Bulletin()
        self.patchbay = Patchbay(config.jack.autoconnect)
        kept = keeper.recall()
        for stem, strip in kept.strips.items():
            mixer.put(stem, strip)
        mixer.on_change = self._tell_strip
        self.is_bypassed = kept.bypass
        self.midi = MidiControl(
            self,
            with_learned(config.midi.bindings, kept.bindings),
            config.midi.soft_takeover,
            learned=list(kept.bindings),
        )
        self._keeper = keeper
        self._replan = replan
        self._reloading = Lock()
        """Held from a wish to reload to its answer."""
        self._changing = Lock()
        """Held while there may be a second set of networks, and until there is a first one."""
        self._changing.acquire()
        self._meters = Meters()
        self._loads = Loads()
        self._calls = Calls()
        self._joiner = Joiner(join, self._work, lambda: not self._stopping)
        # No lock may be in it: a signal handler sets it wherever the main thread is.
        self._stopping = False
        self._reload_wanted = False
        self._reload_at = float("-inf")
        self._told: State | None = None
        self._mixed: tuple[Session | None, tuple[str, ...]] = (None, ())
        self._notifier = notifier
        self._notified_at = float("-inf")
        self._flow = Flow()

    @property
    def state(self) -> State:
        """What the daemon is doing (any thread)."""
        session, plan = self.session, self.plan
        if session:
            return session.state
        return State.WAITING if plan and plan.networks.by_stem else State.LOADING

    @property
    def stems(self) -> tuple[str, ...]:
        """What is played, or is to be when there is a server (main thread)."""
        if self.session:
            return self.session.stems
        return self.plan.networks.stems if self.plan else ()

    @property
    def trouble(self) -> str:
        """Why no server could be joined; nothing while there is one (any thread)."""
        return "" if self.session else self._joiner.trouble

    # ---- any thread; see `control.console.Steerable` ----

    def status(self) -> "Future[dict[str, Any]]":
        """Tell how everything is."""
        return self._call(lambda: describe(self))

    def bypass(self, on: bool | None) -> "Future[bool]":
        """Hear the input instead of the stems, or not, or change over."""
        return self._call(lambda: self._bypass(not self.is_bypassed if on is None else on))

    def reload(self) -> "Future[dict[str, Any]]":
        """Read the configuration anew, and go by it: as a whole, or not at all.

        What takes long happens on a thread of its own; meanwhile everything plays on as before.
        The result comes when others have taken over, where it takes others.
        """
        future: Future[dict[str, Any]] = Future()
        if self._reloading.acquire(blocking=False):
            steering_thread(self._reload, "stemd-reload", future, is_long=True).start()
        else:
            future.set_exception(StemdError("a reload is under way: wait for its end"))
        return future

    def _reload(self, future: "Future[dict[str, Any]]") -> None:
        future.set_running_or_notify_cancel()  # nobody can cancel it any more
        with self._second_set():
            try:
                self._replan_and_go_over(future)
            except Exception as error:
                reason = "; ".join(str(error).splitlines()).replace(":; ", ": ")
                reason = reason or type(error).__name__
                log.error("nothing is changed: %s", reason)
                self.bulletin.publish("reload", error=reason)
                self._reloading.release()
                future.set_exception(StemdError(f"nothing is changed: {reason}"))
                if not isinstance(error, StemdError | ModelError):
                    raise
        self._wake()  # the next one may be wanted

    def _replan_and_go_over(self, future: "Future[dict[str, Any]]") -> None:
        plan = self._replan(self.plan)
        keys = differences(self.config, plan.wished)
        self._go_over(plan, lambda: self._end_reload(future, keys))

    def _end_reload(self, future: "Future[dict[str, Any]]", keys: list[str]) -> None:
        """Tell what a reload has changed, and what it would at the next start."""
        changes = {
            "changed": [key for key in keys if not is_at_start(key)],
            "at_next_start": [key for key in keys if is_at_start(key)],
        }
        log.info("reloaded: %s", ", ".join(changes["changed"]) or "nothing is different")
        if changes["at_next_start"]:
            log.info("at the next start: %s", ", ".join(changes["at_next_start"]))
        self.bulletin.publish("reload", **changes)
        self._reloading.release()
        future.set_result(changes)

    def _shorten(self) -> None:
        """Go over to a shorter delay, which takes a second set of networks for a moment."""
        with self._second_set():
            try:
                self._go_over(self._with_other_networks())
            except (StemdError, ModelError) as error:
                log.warning("the delay stays as it is for now: %s", error)

    def _with_other_networks(self) -> Plan:
        plan = self._loaded_plan()
        return replace(plan, networks=plan.networks.another())

    @contextmanager
    def _second_set(self) -> Iterator[None]:
        """Wait until a second set of networks may be in memory beside the one that plays.

        There are never more: what is done with it may leave nothing of it behind.
        """
        with self._changing:
            try:
                yield
            finally:
                give_back_memory()

    def _go_over(self, plan: Plan, on_success: Callable[[], None] = lambda: None) -> None:
        """Go over to another plan, and wait until the last one is out of memory.

        Parameters
        ----------
        plan : Plan
        on_success : callable
            Called as soon as it is certain.

        Raises
        ------
        StemdError
            Nothing is changed.
        """
        while True:
            change = self._call(lambda: self._take_over(plan)).result()
            try:
                change.done.result()
            except SessionOverError:  # the next session, or none, may decide
                continue
            else:
                on_success()
                return
            finally:
                change.ended.result()

    def learn(self, wish: Binding) -> "Future[Binding]":
        """Bind the next MIDI controller that moves."""
        learned: Future[Binding] = Future()

        def begin() -> None:
            try:
                self._learn(wish, learned)
            except StemdError as error:
                learned.set_exception(error)

        self._call(begin)
        return learned

    def save(self) -> str:
        """Keep what is set, now, and wait until it is; return why it is not, nothing if it is."""
        try:
            self._call(self._keep).result(SAVE_S).result(SAVE_S)  # one that is under way
            return self._call(lambda: self._keep(anew=True)).result(SAVE_S).result(SAVE_S)
        except TimeoutError:
            return f"it is not written within {SAVE_S:.0f} s"
        except StemdError as error:  # it ends
            return str(error)

    def stop(self) -> None:
        """Let `run` return soon; for signal handlers too."""
        self._stopping = True
        self._wake()

    def reload_soon(self) -> None:
        """Reload when there is time, once for all that ask meanwhile; for signal handlers too."""
        self._reload_wanted = True
        self._wake()

    def peaks(self) -> dict[str, list[float]]:
        """Give how loud the input and each stem was lately [linear, left and right]."""
        return self._meters.read(self.session)

    def loads(self) -> dict[str, float]:
        """Give what share of the time each network, and the engine, is busy (main thread)."""
        return self._loads.read(self.session, monotonic()) if self.session else {}

    def _call(self, function: Callable[[], Result]) -> "Future[Result]":
        """Have the main thread do it."""
        future = self._calls.add(function)
        self._wake()
        return future

    def _wake(self) -> None:
        if session := self.session:
            session.rt.wake()

    # ---- the main thread ----

    def run(self) -> None:
        """Go on until `stop` (main thread).

        Raises
        ------
        StemdError
            Nothing helps.
        """
        hurry_interpreter()
        try:
            if not self._make_first_plan():
                return
            settle_memory()
            self._notifier.ready()
            while client := self._next_client():
                try:
                    self._play(client)
                except ServerGoneError:
                    log.warning("the server went away")
        finally:
            self._notifier.stopping()
            self._calls.end()
            self._keeper.close(self._to_keep())

    def _make_first_plan(self) -> bool:
        """Load the networks; False if it was not to be.

        Raises
        ------
        StemdError, ModelError
            They cannot be loaded.
        """
        self._tell_state()
        made = apart(partial(self._replan, None), "stemd-load")
        if not self._wait_for(made):
            return False
        self.plan = made.result()
        self.config = self.plan.config
        self._follow_stems()
        self._changing.release()
        return True

    def _next_client(self) -> GraphClient | None:
        """Wait for a server; None if it was not to be."""
        if not self._restore_networks():
            return None
        self._tell_state()
        return self._joiner.wait()

    def _loaded_plan(self) -> Plan:
        if self.plan is None:
            raise StemdError("the networks are not loaded yet")
        return self.plan

    def _restore_networks(self) -> bool:
        """Load what the last session may have left unloaded; False if it was not to be."""
        while self.plan and not self.plan.networks.by_stem:
            self._tell_state()
            loaded = apart(self.plan.networks.ensure, "stemd-load")
            if not self._wait_for(loaded):
                return False
            if error := loaded.exception():
                log.error("%s; the next attempt is in %.0f s", error, LOAD_AGAIN_S)
                self._wait_for(Future(), LOAD_AGAIN_S)  # which is never done
        return not self._stopping

    def _wait_for(self, future: "Future[Any]", most_s: float = inf) -> bool:
        """Do what else there is to do until another thread is done; False if it was not to be."""
        until = monotonic() + most_s
        while not self._stopping and monotonic() < until:
            if wait([future], timeout=min(LOOK_S, most_s)).done:
                return True
            self._work()
        return False

    def _play(self, client: GraphClient) -> None:
        session = self._begin(client, self._loaded_plan())
        self.session = session
        self._follow_stems()
        delay = session.rt.delay
        _announce(session)
        self.bulletin.publish("client", name=client.name)
        self._tell_state()
        next_tick = float("-inf")
        try:
            while not self._stopping:
                events = session.rt.wait_events(self.midi.patience_s(TICK_S))
                # Whoever steers wakes it too, which is no reason to look after everything.
                if events & ~Event.MIDI or monotonic() >= next_tick:
                    session.tick(events, monotonic())
                    next_tick = monotonic() + TICK_S
                self._follow_stems()
                self.midi.follow(Event.MIDI in events, session.rt.read_midi)
                self._work()
                self._tell_state()
                self._follow_periods(session)
                if session.rt.delay != delay:
                    delay = session.rt.delay
                    _announce(session)
                    self.bulletin.publish("delay", frames=delay)
        finally:
            self.session = None
            self._follow_stems()  # nothing is to hold the session while the next one is made
            self._meters, self._loads = Meters(), Loads()
            session.close()
            _sum_up(session)

    def _begin(self, client: GraphClient, plan: Plan) -> Session:
        if not plan.networks.by_stem:  # what hangs has taken them meanwhile
            client.close()
            raise ServerGoneError
        try:
            return Session(
                client,
                plan.networks,
                plan.scheme,
                plan.config.separation.mask_extension,
                plan.config.jack.longest_period,
                self.patchbay,
                self.is_bypassed,
                plan.config.mixer.ramp,
                plan.config.midi.enabled,
            )
        except ServerError as error:
            if client.is_alive():
                client.close()
                raise
            client.close()
            raise ServerGoneError from error
        except BaseException:
            client.close()
            raise

    def _work(self) -> None:
        """Do what was asked for."""
        if self._reload_wanted and not self._reloading.locked() and monotonic() >= self._reload_at:
            self._reload_wanted = False
            self._reload_at = monotonic() + RELOAD_PAUSE_S
            self.reload()
        self._calls.handle()
        if monotonic() - self._notified_at >= STATUS_S:
            self._notified_at = monotonic()
            self._keep()
            self._notifier.status(in_a_line(self))
            if self._flows():
                self._notifier.feed_watchdog()

    def _flows(self) -> bool:
        """Tell whether the music flows, as far as that is up to us."""
        session = self.session
        if session is None or session.state is State.SILENT:
            return True
        periods = session.rt.counters().periods
        delivered = session.separation.link.counters().delivered
        return self._flow.goes_on(periods, delivered, session.state is State.MENDING)

    def _bypass(self, on: bool) -> bool:
        if on != self.is_bypassed:
            self.is_bypassed = on
            if self.session:
                self.session.bypass(on)
            self.bulletin.publish("bypass", on=on)
        return on

    def _learn(self, wish: Binding, learned: "Future[Binding]") -> None:
        if not self.config.midi.enabled:
            raise StemdError("there is no MIDI port: set midi.enabled to true, and start again")
        self.midi.learn(wish, learned)

    def _keep(self, anew: bool = False) -> "Future[str]":
        return self._keeper.keep(self._to_keep(), anew)

    def _to_keep(self) -> Kept:
        """Give what is otherwise than the configuration says."""
        configured: Mapping[Any, Strip] = self.config.mixer.strips
        strips = {
            stem: strip
            for stem, strip in self.mixer.all_strips().items()
            if strip != configured.get(stem, Strip())
        }
        kept = {"strips": strips, "bypass": self.is_bypassed, "bindings": self.midi.learned}
        return Kept.model_validate(kept)

    def _take_over(self, plan: Plan) -> Change:
        """Begin to go over to another plan."""
        setup = Setup(
            plan.networks,
            plan.scheme,
            plan.config.separation.mask_extension,
            plan.config.jack.longest_period,
        )
        if self.session and self.plan and plan.networks is not self.plan.networks:
            self._prepare_levels(self.session, plan)
            return self.session.change(setup, lambda: self._adopt(plan))
        self._adopt(plan)
        change = Change(setup, lambda: None)
        change.done.set_result(None)
        change.ended.set_result(None)
        return change

    def _prepare_levels(self, session: Session, plan: Plan) -> None:
        """Set what is not heard yet to the level at which it will begin."""
        strips = {
            stem: self._strip_after(stem, plan) for stem in STEMS if stem in plan.networks.stems
        }
        has_solo = any(strip.solo for strip in strips.values())
        for stem in strips.keys() - {*session.stems}:
            for output in outputs_of([stem]).values():
                session.rt.set_gain(output, level(strips[stem], has_solo))

    def _strip_after(self, stem: StemName, plan: Plan) -> Strip:
        """Return what a strip will be once a plan counts: it changes only where that does."""
        before, after = (_strip(config, stem) for config in (self.config, plan.config))
        return after if after != before else self.mixer.all_strips().get(stem, Strip())

    def _adopt(self, plan: Plan) -> None:
        """Go by another plan."""
        before = self.config
        changed = [stem for stem in STEMS if _strip(plan.config, stem) != _strip(before, stem)]
        self.plan, self.config = plan, plan.config
        if self.session:
            self.session.extend_masks(plan.config.separation.mask_extension)
        if plan.config is not before:  # else nobody has asked for connections to be made again
            self.patchbay.follow(plan.config.jack.autoconnect)
        for stem in changed:
            self.mixer.put(stem, _strip(plan.config, stem))
        self._follow_stems()

    def _follow_stems(self) -> None:
        """Let the mixer have the stems that there are."""
        session, stems = self.session, self.stems
        if self._mixed == (session, stems):
            return
        self._mixed = session, stems

        def apply(stem: str, factor: float) -> None:
            if session:
                for output in outputs_of([stem]).values():
                    session.rt.set_gain(output, factor)

        self.mixer.attach(stems, apply)

    def _follow_periods(self, session: Session) -> None:
        """Let the delay get shorter where it has had room for longer periods for some time."""
        if session.can_shorten:
            session.put_off_shortening()
            if not self._changing.locked():
                log.info("the server's periods have been shorter for a while: so will be the delay")
                steering_thread(self._shorten, "stemd-shorten").start()

    def _tell_strip(self, stem: str, strip: Strip) -> None:
        self.bulletin.publish("mixer", stem=stem, **strip.model_dump())

    def _tell_state(self) -> None:
        """Tell everybody when it changes."""
        if self.state == self._told:
            return
        if self._told not in (None, State.WAITING) and self.session:
            log.warning("state: %s", self.state)
        self._told = self.state
        self.bulletin.publish("state", state=self.state)


def _strip(config: Config, stem: StemName) -> Strip:
    return config.mixer.strips.get(stem, Strip())


def _announce(session: Session) -> None:
    client = session.client
    log.info(
        "client %s on %s, %d Hz, %d frames a period",
        client.name,
        client.server,
        client.samplerate,
        client.period,
    )
    log.info(
        "separating into %s with a delay of %d frames (%.3f s)",
        ", ".join(session.networks.stems),
        session.rt.delay,
        session.rt.delay / client.samplerate,
    )


def _sum_up(session: Session) -> None:
    counters, report = session.rt.counters(), session.separation.report()
    log.info(
        "played %.1f s: %d of %d blocks late, %d periods late, %d frames lost, %d xruns",
        counters.frames / session.separation.samplerate,
        report.blocks.late,
        report.blocks.total,
        report.link.late_periods,
        report.link.lost_frames,
        counters.xruns,
    )
