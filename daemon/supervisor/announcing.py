"""Logging and publishing what happens."""

import logging
from math import inf
from time import monotonic

from stemd.daemon.control.bulletin import Bulletin
from stemd.daemon.control.events import (
    ClientNamed,
    DelayChanged,
    DeviceChanged,
    RecordingChanged,
    StateChanged,
    StripChanged,
)
from stemd.daemon.control.mixer import Strip
from stemd.daemon.ports import UNCONNECTED, is_fed
from stemd.daemon.supervisor.playback import Playback
from stemd.daemon.supervisor.session import Session
from stemd.daemon.supervisor.state import TRANSITION, State
from stemd.daemon.wording import counted

log = logging.getLogger(__name__)

CONNECT_S = 5.0
"""How long after the start of a session its inputs may be unconnected without a word."""


class Announcer:
    """Logs and publishes what happens (main thread).

    Parameters
    ----------
    playback : Playback
    bulletin : Bulletin
    """

    def __init__(self, playback: Playback, bulletin: Bulletin) -> None:
        self._playback = playback
        self._bulletin = bulletin
        self._state: State | None = None
        self._delay = 0
        """Frames, as announced last."""
        self._device = playback.device.status()
        self._recording = self._seen_recording()
        self._input_due = inf
        """When the inputs must be connected, in seconds of a monotonic clock."""

    def strip(self, stem: str, strip: Strip) -> None:
        """Publish that a stem's strip was set (any thread)."""
        self._bulletin.publish(StripChanged(stem, **strip.model_dump()))

    def session_begins(self, session: Session) -> None:
        """Log and publish the client that has joined a server."""
        self._delay = session.rt.delay
        self._input_due = monotonic() + CONNECT_S
        _log_session(session)
        self._bulletin.publish(ClientNamed(session.client.name))
        self.changes()

    def changes(self) -> None:
        """Log and publish the state, the delay, the device and the recording if they changed."""
        self._announce_state()
        self._announce_device()
        self._announce_recording()
        if session := self._playback.session:
            self._announce_delay(session)
            self._announce_input(session)

    def session_ends(self, session: Session) -> None:
        """Log what the session counted."""
        counters, report = session.rt.counters(), session.separation.report()
        log.info(
            "played %.1f s: %d of %d blocks late, %s late, %s lost, %s",
            counters.frames / session.separation.samplerate,
            report.blocks.late,
            report.blocks.total,
            counted(report.link.late_periods, "period"),
            counted(report.link.lost_frames, "frame"),
            counted(counters.xruns, "xrun"),
        )

    def _announce_state(self) -> None:
        state = self._playback.state
        if state == self._state:
            return
        if self._state not in (None, State.WAITING) and self._playback.session:
            log.warning("state: %s", state, extra=TRANSITION)
        self._state = state
        self._bulletin.publish(StateChanged(state))

    def _announce_device(self) -> None:
        if (device := self._playback.device.status()) != self._device:
            self._device = device
            self._bulletin.publish(DeviceChanged(**vars(device)))

    def _announce_recording(self) -> None:
        if (recording := self._seen_recording()) != self._recording:
            self._recording = recording
            self._bulletin.publish(recording)

    def _seen_recording(self) -> RecordingChanged:
        seen = vars(self._playback.recordings.status())
        return RecordingChanged(**{key: seen[key] for key in RecordingChanged.__annotations__})

    def _announce_delay(self, session: Session) -> None:
        if session.rt.delay != self._delay:
            self._delay = session.rt.delay
            _log_session(session)
            self._bulletin.publish(DelayChanged(self._delay))

    def _announce_input(self, session: Session) -> None:
        """Log, once in a session, that its inputs are still not connected."""
        if monotonic() >= self._input_due:
            self._input_due = inf
            if not is_fed(session.client.name, self._playback.patchbay.connections):
                log.info(UNCONNECTED)


def _log_session(session: Session) -> None:
    client = session.client
    log.info(
        "client %s on %s, %d Hz, %d frames a period",
        client.name,
        client.server,
        client.samplerate,
        client.period,
        extra=TRANSITION,
    )
    log.info(
        "separating into %s with a delay of %d frames (%.3f s)",
        ", ".join(session.networks.stems),
        session.rt.delay,
        session.rt.delay / client.samplerate,
        extra=TRANSITION,
    )
