"""The daemon: waits for servers, plays in their graphs, and does what it is told meanwhile."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from threading import Lock
from time import monotonic
from typing import Any, TypeVar

from stemd.daemon.calls import Calls
from stemd.daemon.control.bindings import Binding, with_learned
from stemd.daemon.control.bulletin import Bulletin
from stemd.daemon.control.kept import Keeper, Kept
from stemd.daemon.control.midi import MidiControl
from stemd.daemon.control.mixer import Mixer, Strip
from stemd.daemon.errors import ServerError, StemdError
from stemd.daemon.graph import GraphClient
from stemd.daemon.joining import Joiner
from stemd.daemon.notifier import Notifier
from stemd.daemon.patchbay import Patchbay
from stemd.daemon.plan import Plan, differences, is_at_start
from stemd.daemon.ports import STEMS, outputs_of
from stemd.daemon.realtime import Event
from stemd.daemon.scheduling import hurry_interpreter, settle_memory, steering_thread
from stemd.daemon.session import TICK_S, ServerGoneError, Session, State
from stemd.daemon.status import Loads, Meters, describe, in_a_line
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
    plan : Plan
        What is to be played.
    join : callable
        Opens a client, or raises `ServerError` while no server answers.
    replan : callable
        Reads the configuration anew and makes the plan that follows this one.
    mixer : Mixer
    keeper : Keeper
    notifier : Notifier

    Attributes
    ----------
    session : Session or None
        While there is a server.
    plan : Plan
    mixer : Mixer
    bulletin : Bulletin
        Where it is told what happens.
    """

    def __init__(
        self,
        plan: Plan,
        join: Callable[[], GraphClient],
        replan: Callable[[Plan], Plan],
        mixer: Mixer,
        keeper: Keeper,
        notifier: Notifier,
    ) -> None:
        self.session: Session | None = None
        self.plan = plan
        self.mixer = mixer
        self.bulletin = Bulletin()
        self.patchbay = Patchbay(plan.config.jack.autoconnect)
        kept = keeper.recall()
        for stem, strip in kept.strips.items():
            mixer.put(stem, strip)
        mixer.on_change = self._tell_strip
        self.is_bypassed = kept.bypass
        self.midi = MidiControl(
            self,
            with_learned(plan.config.midi.bindings, kept.bindings),
            plan.config.midi.takes_over_softly,
            learned=list(kept.bindings),
        )
        self._keeper = keeper
        self._replan = replan
        self._reloading = Lock()
        self._meters = Meters()
        self._loads = Loads()
        self._calls = Calls()
        self._joiner = Joiner(join, self._work, lambda: not self._stopping)
        # No lock may be in it: a signal handler sets it wherever the main thread is.
        self._stopping = False
        self._reload_wanted = False
        self._reload_at = float("-inf")
        self._told: State | None = None
        self._mixed = tuple(plan.networks.by_stem)
        mixer.attach(self._mixed, lambda *_: None)
        self._notifier = notifier
        self._notified_at = float("-inf")
        self._flowed = (0, 0)

    @property
    def state(self) -> State:
        """What the daemon is doing (any thread)."""
        session = self.session
        return session.state if session else State.WAITING

    # ---- any thread; see `control.console.Steerable` ----

    def status(self) -> "Future[dict[str, Any]]":
        """Tell how everything is."""
        return self._call(lambda: describe(self))

    def bypass(self, on: bool | None) -> "Future[bool]":
        """Hear the input instead of the stems, or not, or change over."""
        return self._call(lambda: self._bypass(not self.is_bypassed if on is None else on))

    def reload(self) -> "Future[dict[str, Any]]":
        """Read the configuration anew, and go by it.

        What takes long happens on a thread of its own; meanwhile everything plays on as before.
        """
        future: Future[dict[str, Any]] = Future()
        if self._reloading.acquire(blocking=False):
            steering_thread(self._reload, "stemd-reload", future, is_long=True).start()
        else:
            future.set_exception(StemdError("a reload is under way: wait for its end"))
        return future

    def _reload(self, future: "Future[dict[str, Any]]") -> None:
        future.set_running_or_notify_cancel()  # nobody can cancel it any more
        try:
            plan = self._replan(self.plan)
            future.set_result(self._call(lambda: self._apply(plan)).result())
        except (StemdError, ModelError) as error:
            log.error("nothing is changed: %s", error)
            self.bulletin.publish("reload", error=str(error))
            future.set_exception(StemdError(*f"nothing is changed: {error}".split("\n")))
        except BaseException as error:
            future.set_exception(error)
            raise
        finally:
            self._reloading.release()

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
        settle_memory()
        hurry_interpreter()
        self._notifier.ready()
        try:
            while client := self._next_client():
                try:
                    self._play(client)
                except ServerGoneError:
                    log.warning("the server went away")
        finally:
            self._notifier.stopping()
            self._calls.end()
            self._keeper.close(self._to_keep())

    def _next_client(self) -> GraphClient | None:
        self._tell_state()
        return self._joiner.wait()

    def _play(self, client: GraphClient) -> None:
        session = self._begin(client)
        self.session = session
        self._attach_mixer(session)
        delay = session.rt.delay
        _announce(session)
        self._tell_state()
        next_tick = float("-inf")
        try:
            while not self._stopping:
                events = session.rt.wait_events(self.midi.patience_s(TICK_S))
                # Whoever steers wakes it too, which is no reason to look after everything.
                if events & ~Event.MIDI or monotonic() >= next_tick:
                    session.tick(events, monotonic())
                    next_tick = monotonic() + TICK_S
                self.midi.follow(Event.MIDI in events, session.rt.read_midi)
                self._work()
                self._tell_state()
                if session.stems != self._mixed:
                    self._attach_mixer(session)
                if session.rt.delay != delay:
                    delay = session.rt.delay
                    _announce(session)
                    self.bulletin.publish("delay", frames=delay)
        finally:
            self.session = None
            # Nothing is to hold it while the next one is made.
            self.mixer.attach(self._mixed, lambda *_: None)
            self._meters, self._loads = Meters(), Loads()
            session.close()
            _sum_up(session)

    def _begin(self, client: GraphClient) -> Session:
        plan = self.plan
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
        delivered = session.separation.link.counters().delivered
        before, self._flowed = self._flowed, (session.rt.counters().periods, delivered)
        calls, delivers = self._flowed[0] != before[0], self._flowed[1] != before[1]
        # What is being mended delivers nothing, and the input is heard: see `Session`.
        return calls and (delivers or session.state is State.MENDING)

    def _bypass(self, on: bool) -> bool:
        if on != self.is_bypassed:
            self.is_bypassed = on
            if self.session:
                self.session.bypass(on)
            self.bulletin.publish("bypass", on=on)
        return on

    def _learn(self, wish: Binding, learned: "Future[Binding]") -> None:
        if not self.plan.config.midi.enabled:
            raise StemdError("there is no MIDI port: set midi.enabled to true, and start again")
        self.midi.learn(wish, learned)

    def _keep(self, anew: bool = False) -> "Future[str]":
        return self._keeper.keep(self._to_keep(), anew)

    def _to_keep(self) -> Kept:
        """Give what is otherwise than the configuration says."""
        configured: Mapping[Any, Strip] = self.plan.config.mixer.strips
        strips = {
            stem: strip
            for stem, strip in self.mixer.all_strips().items()
            if strip != configured.get(stem, Strip())
        }
        kept = {"strips": strips, "bypass": self.is_bypassed, "bindings": self.midi.learned}
        return Kept.model_validate(kept)

    def _apply(self, plan: Plan) -> dict[str, Any]:
        """Go by another plan; tell what changes, and what would at the next start."""
        before, session = self.plan, self.session
        keys = differences(before.config, plan.wished)
        if session and plan.networks is not before.networks:
            session.change(plan.networks, plan.scheme, plan.config.jack.longest_period)
        if session:
            session.extend_masks(plan.config.separation.mask_extension)
        self.patchbay.follow(plan.config.jack.autoconnect)
        for stem in STEMS:
            strip = plan.config.mixer.strips.get(stem, Strip())
            if strip != before.config.mixer.strips.get(stem, Strip()):
                self.mixer.put(stem, strip)
        self.plan = plan
        changes = {
            "changed": [key for key in keys if not is_at_start(key)],
            "at_next_start": [key for key in keys if is_at_start(key)],
        }
        log.info("reloaded: %s", ", ".join(changes["changed"]) or "nothing is different")
        if changes["at_next_start"]:
            log.info("at the next start: %s", ", ".join(changes["at_next_start"]))
        self.bulletin.publish("reload", **changes)
        return changes

    def _attach_mixer(self, session: Session) -> None:
        def apply(stem: str, level: float) -> None:
            for output in outputs_of([stem]).values():
                session.rt.set_gain(output, level)

        self._mixed = session.stems
        self.mixer.attach(self._mixed, apply)

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


def _announce(session: Session) -> None:
    client, separation = session.client, session.separation
    log.info(
        "client %s on %s, %d Hz, %d frames a period",
        client.name,
        client.server,
        client.samplerate,
        client.period,
    )
    log.info(
        "separating into %s with a delay of %d frames (%.3f s)",
        ", ".join(session.networks.by_stem),
        separation.delay,
        separation.delay / separation.samplerate,
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
