"""What happens every few seconds: saving, and reporting to the service manager."""

from collections.abc import Callable
from time import monotonic

from stemd.daemon.supervisor.health import Flow, flows
from stemd.daemon.supervisor.notifier import Notifier
from stemd.daemon.supervisor.playback import Playback
from stemd.daemon.supervisor.state import State

BEAT_S = 2.0
"""Seconds from one beat to the next."""


class Heartbeat:
    """Saves what was set, and reports the status, and that all is well, to the service manager.

    Parameters
    ----------
    playback : Playback
    notifier : Notifier
    status : callable
        Return the status in a line.
    save : callable
        Begin to save.
    """

    def __init__(
        self,
        playback: Playback,
        notifier: Notifier,
        status: Callable[[], str],
        save: Callable[[], object],
    ) -> None:
        self._playback = playback
        self._notifier = notifier
        self._status = status
        self._save = save
        self._flow = Flow()
        self.last = float("-inf")

    def beat(self) -> None:
        """Save and report if `BEAT_S` have passed since the last time (main thread)."""
        if monotonic() - self.last < BEAT_S:
            return
        self.last = monotonic()
        self._save()
        self._notifier.status(self._status())
        if self.flows():
            self._notifier.feed_watchdog()

    def flows(self) -> bool:
        """Whether music has flowed since the last call, as far as that depends on stemd."""
        session = self._playback.session
        if session is None or session.state is State.SILENT:
            return True
        delivered = session.separation.link.counters().delivered
        before, self._flow = self._flow, Flow(session.rt.counters().periods, delivered)
        return flows(before, self._flow, session.state is State.RECOVERING)
