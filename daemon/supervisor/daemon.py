"""The daemon: waits for a server, plays in its graph until it goes away, waits for the next."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from math import inf
from time import monotonic
from typing import Any

from stemd.daemon.config import Config
from stemd.daemon.control.bulletin import Bulletin
from stemd.daemon.control.interfaces.midi_feedback import MidiFeedback
from stemd.daemon.control.mixer import Mixer
from stemd.daemon.control.saved_state import StateFile
from stemd.daemon.device.device import BEGIN_S
from stemd.daemon.engine.realtime import Event
from stemd.daemon.engine.scheduling import hurry_interpreter, settle_memory
from stemd.daemon.graph.client import GraphClient
from stemd.daemon.presets import PresetName
from stemd.daemon.supervisor.announcing import Announcer
from stemd.daemon.supervisor.calls import Calls, apart
from stemd.daemon.supervisor.console import Console
from stemd.daemon.supervisor.heartbeat import Heartbeat
from stemd.daemon.supervisor.joining import LOOK_S, Joiner
from stemd.daemon.supervisor.notifier import Notifier
from stemd.daemon.supervisor.plan import Plan
from stemd.daemon.supervisor.playback import Playback
from stemd.daemon.supervisor.reloading import Reloader
from stemd.daemon.supervisor.saving import Saver
from stemd.daemon.supervisor.session import TICK_S, ServerGoneError, Session
from stemd.daemon.supervisor.status import Figures, in_a_line
from stemd.daemon.supervisor.swapping import LOAD_AGAIN_S

log = logging.getLogger(__name__)


class Daemon:
    """The main thread's loop, from server to server (main thread).

    Parameters
    ----------
    config : Config
        That of the start.
    replan : callable
        Makes the first plan, given None, or reads the configuration again and makes the plan that
        follows the given one, with another preset where one is given. It loads networks, and is
        called on threads of its own.
    join : callable
        Opens a client, or raises `ServerError` while no server answers.
    mixer : Mixer
    state_file : StateFile
    notifier : Notifier

    Attributes
    ----------
    console : Console
        What may be asked of the daemon (any thread).
    saver : Saver
    playback : Playback
    reloader : Reloader
    heartbeat : Heartbeat
    """

    def __init__(
        self,
        config: Config,
        replan: Callable[[Plan | None, PresetName | None], Plan],
        join: Callable[[], GraphClient],
        mixer: Mixer,
        state_file: StateFile,
        notifier: Notifier,
    ) -> None:
        saved = state_file.read()
        for stem, strip in saved.strips.items():
            mixer.put(stem, strip)
        bulletin = Bulletin()
        self.playback = playback = Playback(config, mixer, saved.bypass, saved.device)
        self._calls = Calls(playback.wake)
        self.reloader = Reloader(replan, playback, self._calls, bulletin)
        self._joiner = Joiner(join, self._work, lambda: not self.console.is_stopping)
        self._figures = Figures(playback, lambda: self._joiner.trouble)
        self.console = Console(
            playback,
            self._calls,
            bulletin,
            self.reloader,
            self._figures,
            config.midi,
            saved.bindings,
        )
        self.saver = Saver(state_file, playback, self.console.midi, self._calls)
        status = partial(in_a_line, playback, self._figures)
        self.heartbeat = Heartbeat(playback, notifier, status, self.saver.save)
        self._announcer = Announcer(playback, bulletin)
        mixer.on_change = self._announcer.strip
        self._notifier = notifier
        self._replan = replan

    def run(self) -> None:
        """Play until the console is asked to stop.

        Raises
        ------
        StemdError, ModelError
            The daemon cannot go on.
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
            self.playback.recordings.close()
            self.saver.close()

    def _make_first_plan(self) -> bool:
        """Load the networks; False if the daemon is to stop.

        Raises
        ------
        StemdError, ModelError
            They cannot be loaded.
        """
        self._announcer.changes()
        made = apart(partial(self._replan, None, None), "stemd-load")
        if not self._wait_for(made):
            return False
        self.playback.adopt_first(made.result())
        self.reloader.first_plan_is_made()
        return True

    def _next_client(self) -> GraphClient | None:
        """Wait for a server; None if the daemon is to stop."""
        if not self._restore_networks():
            return None
        self._announcer.changes()
        return self._joiner.wait()

    def _restore_networks(self) -> bool:
        """Load networks where the last session has left none; False if the daemon is to stop."""
        while not (plan := self.playback.loaded_plan).networks.by_stem:
            self._announcer.changes()
            loaded = apart(plan.networks.ensure, "stemd-load")
            if not self._wait_for(loaded):
                return False
            if error := loaded.exception():
                log.error("%s; the next attempt is in %.0f s", error, LOAD_AGAIN_S)
                self._wait_for(Future(), LOAD_AGAIN_S)  # which is never done
        return not self.console.is_stopping

    def _wait_for(self, future: "Future[Any]", at_most_s: float = inf) -> bool:
        """Work until another thread is done; False if the time is over or the daemon is to stop."""
        until = monotonic() + at_most_s
        while not self.console.is_stopping and monotonic() < until:
            if wait([future], timeout=min(LOOK_S, at_most_s)).done:
                return True
            self._work()
        return False

    def _play(self, client: GraphClient) -> None:
        """Play in a server's graph.

        Raises
        ------
        ServerGoneError
            The server went away.
        StemdError
            The daemon cannot go on.
        """
        session = self.playback.begin(client)
        try:
            self._announcer.session_begins(session)
            self._look_after(session)
        finally:
            self.playback.end()
            self._figures.forget()
            session.close(process_ends=self.console.is_stopping)
            self._announcer.session_ends(session)

    def _look_after(self, session: Session) -> None:
        midi, device, ticked = self.console.midi, self.playback.device, -inf
        lights = MidiFeedback(session.rt.send_midi)
        while not self.console.is_stopping:
            tick_s = TICK_S if device.is_settled else BEGIN_S
            events = session.rt.wait_events(midi.patience_s(tick_s))
            # An interface that asks for something wakes this thread too; that needs no tick.
            if events & ~Event.MIDI or monotonic() >= ticked + tick_s:
                session.tick(events, monotonic())
                ticked = monotonic()
            self.playback.follow_stems()
            self.playback.recordings.look(session)
            midi.follow(Event.MIDI in events, session.rt.read_midi)
            if self.playback.config.midi.has_feedback:
                switches = {
                    "bypass": self.playback.is_bypassed,
                    "record": self.playback.recordings.is_on,
                }
                lights.show(midi.bindings, self.console.mixer.strips(), switches)
            self._work()
            device.look(session.client, session.is_warm, monotonic())
            self._announcer.changes()
            self.reloader.shorten(session)

    def _work(self) -> None:
        """Do what is asked for, and what is due."""
        self.reloader.begin_wanted()
        self._calls.handle()
        self.heartbeat.beat()
