"""Reloading: one transaction, which ends with another plan in effect, or with nothing changed."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from time import monotonic

from stemd.daemon.control.bulletin import Bulletin
from stemd.daemon.control.events import ReloadEnded
from stemd.daemon.control.replies import Reloaded
from stemd.daemon.engine.scheduling import give_back_memory, steering_thread
from stemd.daemon.errors import StemdError
from stemd.daemon.presets import PresetName
from stemd.daemon.supervisor.calls import Calls
from stemd.daemon.supervisor.changes import SessionOverError
from stemd.daemon.supervisor.plan import Plan, differences, is_at_start
from stemd.daemon.supervisor.playback import Playback
from stemd.daemon.supervisor.session import Session
from stemd.tflite_models.errors import ModelError

log = logging.getLogger(__name__)

RELOAD_PAUSE_S = 1.0
"""Seconds from one reload that signals or OSC asked for until the next one begins, at least."""


class Reloader:
    """Goes over to another plan, each time in one transaction.

    A transaction makes the plan, and the session warms its networks up beside what plays. Then
    either the whole plan takes over, or it is withdrawn, nothing has changed, and the reason is
    reported. Transactions run on threads of their own, one after the other.

    Parameters
    ----------
    replan : callable
        Reads the configuration and makes the plan that follows the given one, with another preset
        where one is given.
    playback : Playback
    calls : Calls
    bulletin : Bulletin
    """

    def __init__(
        self,
        replan: Callable[[Plan | None, PresetName | None], Plan],
        playback: Playback,
        calls: Calls,
        bulletin: Bulletin,
    ) -> None:
        self._replan = replan
        self._playback = playback
        self._calls = calls
        self._bulletin = bulletin
        self._is_wanted = False
        self._next_at = float("-inf")
        self._reloading = Lock()
        """Held from the wish to reload until its answer."""
        self._second_set = Lock()
        """Held while there may be a second set of networks, and until there is a first one."""
        self._second_set.acquire()

    def first_plan_is_made(self) -> None:
        """Allow transactions from now on (main thread)."""
        self._second_set.release()

    def reload(self, preset: PresetName | None = None) -> "Future[Reloaded]":
        """Read the configuration again, and go over to it: as a whole, or not at all (any thread).

        Parameters
        ----------
        preset : str, optional
            Instead of the one in the configuration, with what is set there by hand.

        Returns
        -------
        Future
            Which keys ``changed`` and which take effect ``at_next_start``, once that is certain; a
            `StemdError` where nothing is changed.
        """
        future: Future[Reloaded] = Future()
        if self._reloading.acquire(blocking=False):
            steering_thread(self._reload, "stemd-reload", future, preset, is_long=True).start()
        else:
            future.set_exception(StemdError("a reload is under way: wait for its end"))
        return future

    def reload_soon(self) -> None:
        """Reload once for all wishes since the last one (any thread, also a signal handler)."""
        self._is_wanted = True
        self._playback.wake()

    def begin_wanted(self) -> None:
        """Begin the reload that `reload_soon` asked for, when its time has come (main thread)."""
        if self._is_wanted and not self._reloading.locked() and monotonic() >= self._next_at:
            self._is_wanted = False
            self._next_at = monotonic() + RELOAD_PAUSE_S
            self.reload()

    def shorten(self, session: Session) -> None:
        """Shorten the delay where it has had room for longer periods for a while (main thread)."""
        if session.room.can_shorten and not self._second_set.locked():
            session.room.attempt()
            log.info("the server's periods have been shorter for a while: so will be the delay")
            steering_thread(self._shorten, "stemd-shorten").start()

    def _reload(self, future: "Future[Reloaded]", preset: PresetName | None) -> None:
        future.set_running_or_notify_cancel()  # from here on it cannot be cancelled
        with self._transaction():
            try:
                self._reload_now(future, preset)
            except Exception as error:
                self._report_failure(future, error)
                if not isinstance(error, StemdError | ModelError):
                    raise
        self._playback.wake()  # the next one may be wanted

    def _reload_now(self, future: "Future[Reloaded]", preset: PresetName | None) -> None:
        plan = self._replan(self._playback.plan, preset)
        keys = differences(self._playback.config, plan.wished)
        self._go_over(plan, lambda: self._report_success(future, keys))

    def _shorten(self) -> None:
        with self._transaction():
            try:
                self._go_over(self._with_other_networks())
            except (StemdError, ModelError) as error:
                log.warning("the delay stays as it is for now: %s", error)

    def _with_other_networks(self) -> Plan:
        plan = self._playback.loaded_plan
        return replace(plan, networks=plan.networks.another())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Wait until a second set of networks may be in memory, and leave only one there."""
        with self._second_set:
            try:
                yield
            finally:
                give_back_memory()

    def _go_over(self, plan: Plan, on_success: Callable[[], None] = lambda: None) -> None:
        """Warm a plan up and let it take over, or withdraw it; wait until one is out of memory.

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
            change = self._calls.add(lambda: self._playback.take_over(plan)).result()
            try:
                change.done.result()
            except SessionOverError:  # the next session, or none, may decide
                continue
            else:
                on_success()
                return
            finally:
                change.ended.result()

    def _report_success(self, future: "Future[Reloaded]", keys: list[str]) -> None:
        changes = Reloaded(
            changed=[key for key in keys if not is_at_start(key)],
            at_next_start=[key for key in keys if is_at_start(key)],
        )
        log.info("reloaded: %s", ", ".join(changes.changed) or "nothing is different")
        if changes.at_next_start:
            log.info("at the next start: %s", ", ".join(changes.at_next_start))
        self._bulletin.publish(ReloadEnded(changes.changed, changes.at_next_start, None))
        self._reloading.release()
        future.set_result(changes)

    def _report_failure(self, future: "Future[Reloaded]", error: Exception) -> None:
        reason = "; ".join(str(error).splitlines()).replace(":; ", ": ") or type(error).__name__
        log.error("nothing is changed: %s", reason)
        self._bulletin.publish(ReloadEnded([], [], reason))
        self._reloading.release()
        future.set_exception(StemdError(f"nothing is changed: {reason}"))
