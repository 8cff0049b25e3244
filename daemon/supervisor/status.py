"""The status of the daemon, in figures."""

from collections import deque
from collections.abc import Callable
from threading import Lock
from time import monotonic

from stemd.daemon.control import protocol
from stemd.daemon.control.replies import (
    Blocks,
    Delay,
    Engine,
    JoinedStatus,
    Memory,
    Priority,
    Realtime,
    Server,
    Status,
    Window,
)
from stemd.daemon.engine.realtime import Counters
from stemd.daemon.engine.rights import Rights, read_rights
from stemd.daemon.engine.scheduling import Role
from stemd.daemon.graph.client import GraphClient
from stemd.daemon.graph.patchbay import Patchbay
from stemd.daemon.ports import outputs_of
from stemd.daemon.supervisor.playback import Playback
from stemd.daemon.supervisor.session import Session
from stemd.daemon.version import VERSION
from stemd.daemon.wording import counted

METERS_S, HOLD_S = 0.05, 0.3
"""Seconds between two readings of the peaks, at least, and for how long each is reported: several
readers ask, and reading resets the peaks."""

LOAD_S = 2.0
"""Seconds over which loads are averaged, at least."""

WINDOW = ("T", "B", "A", "mirror")
"""The values of a scheme that are reported."""


class Meters:
    """Peaks of the input and the stems, for any number of readers (any thread)."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._session: Session | None = None
        self._read: deque[tuple[float, dict[str, list[float]]]] = deque()

    def read(self, session: Session | None) -> dict[str, list[float]]:
        """Return the highest levels of the last HOLD_S seconds [linear, left and right]."""
        now = monotonic()
        with self._lock:
            if session is None or session is not self._session:
                self._session = session
                self._read.clear()
            while self._read and now - self._read[0][0] > HOLD_S:
                self._read.popleft()
            if session and not (self._read and now - self._read[-1][0] < METERS_S):
                self._read.append((now, _peaks(session)))
            highest: dict[str, list[float]] = {}
            for _, peaks in self._read:
                for name, sides in peaks.items():
                    highest[name] = list(map(max, highest.get(name, sides), sides))
            return highest


def _peaks(session: Session) -> dict[str, list[float]]:
    heard, played = session.rt.peaks()
    stems = {
        stem: [played[output] for output in outputs_of([stem]).values()] for stem in session.stems
    }
    return {"in": heard, **stems}


class Loads:
    """The share of the time that the threads of a separation are busy (main thread)."""

    def __init__(self) -> None:
        self._last: tuple[object, float, dict[str, float]] | None = None
        self._loads: dict[str, float] = {}

    def read(self, session: Session, now: float) -> dict[str, float]:
        """Return each network's, by stem, and the ``engine``'s, over the last seconds."""
        busy = session.separation.busy_s()
        if self._last is None or self._last[0] is not session.separation:
            self._last, self._loads = (session.separation, now, busy), dict.fromkeys(busy, 0.0)
        elif (elapsed := now - self._last[1]) >= LOAD_S:
            self._loads = {
                thread: (busy[thread] - self._last[2][thread]) / elapsed for thread in busy
            }
            self._last = (session.separation, now, busy)
        return self._loads


class Figures:
    """What is measured of the playback between two questions.

    Parameters
    ----------
    playback : Playback
    trouble : callable
        Return why no server can be joined; empty while that is not known.

    Attributes
    ----------
    not_open : dict
        Why interfaces are not open that the configuration switches on, by name.
    """

    def __init__(self, playback: Playback, trouble: Callable[[], str]) -> None:
        self._playback = playback
        self._trouble = trouble
        self.not_open: dict[str, str] = {}
        self.forget()

    def forget(self) -> None:
        """Forget the session, which has ended (main thread)."""
        self._meters, self._loads = Meters(), Loads()

    @property
    def trouble(self) -> str:
        """Why no server could be joined; empty while there is one (any thread)."""
        return "" if self._playback.session else self._trouble()

    def peaks(self) -> dict[str, list[float]]:
        """Return the peaks of the input and each stem [linear, left and right] (any thread)."""
        return self._meters.read(self._playback.session)

    def loads(self) -> dict[str, float]:
        """Return the share of the time that each network, and the engine, is busy (main thread)."""
        session = self._playback.session
        return self._loads.read(session, monotonic()) if session else {}


def in_a_line(playback: Playback, figures: Figures) -> str:
    """Return the most important figures (main thread)."""
    session, state = playback.session, playback.state
    if session is None:
        trouble = f": {figures.trouble}" if figures.trouble else ""
        what = f"for a server{trouble}" if state == "waiting" else "the networks"
        return f"{state} {what}"
    counters, report = session.rt.counters(), session.separation.report()
    return (
        f"{state} on {session.client.server}, {session.client.samplerate} Hz, delay "
        f"{session.rt.delay / session.client.samplerate:.3f} s, load "
        f"{sum(figures.loads().values()):.0%} of a core, {report.blocks.late} of "
        f"{report.blocks.total} blocks late, {counted(counters.xruns, 'xrun')}"
    )


def describe(playback: Playback, figures: Figures) -> Status:
    """Return all figures (main thread)."""
    session, plan, wishes = playback.session, playback.plan, playback.config.separation
    strips = playback.mixer.strips()
    status = Status(
        version=VERSION,
        protocol=protocol.VERSION,
        state=playback.state,
        bypass=playback.is_bypassed,
        networks=plan.chosen.name if plan else None,
        stems=list(strips),
        preset=wishes.preset,
        precision=plan.precision if plan else wishes.precision,
        why_precision=(plan and plan.why_precision) or None,
        window=Window(**{name: getattr(plan.scheme, name) for name in WINDOW}) if plan else None,
        mixer=strips,
        peaks=figures.peaks(),
        trouble=figures.trouble or None,
        not_open=dict(figures.not_open),
        device=playback.device.status(),
        recording=playback.recordings.status(),
        server=None,
    )
    return _joined(status, session, playback.patchbay, figures) if session else status


def _joined(status: Status, session: Session, patchbay: Patchbay, figures: Figures) -> JoinedStatus:
    counters, report = session.rt.counters(), session.separation.report()
    rights = read_rights(counters.priority, session.separation.are_networks_lowered)
    frames = session.rt.delay
    return JoinedStatus(
        **vars(status) | {"server": _server(session.client, counters)},
        realtime=_realtime(rights),
        delay=Delay(frames=frames, seconds=frames / session.client.samplerate),
        load=figures.loads(),
        blocks=Blocks(
            total=report.blocks.total,
            late=report.blocks.late,
            bad_estimates=report.blocks.bad_estimates,
        ),
        engine=Engine(
            late_periods=report.link.late_periods,
            late_frames=report.link.late_frames,
            lost_frames=report.link.lost_frames,
            dry_frames=report.link.dry_frames,
        ),
        connections=sorted(patchbay.connections),
        disconnected=sorted(patchbay.disconnected),
        autoconnect=patchbay.matches,
    )


def _server(client: GraphClient, counters: Counters) -> Server:
    return Server(
        name=client.server,
        client=client.name,
        samplerate=client.samplerate,
        period=counters.period,
        priority=counters.priority,
        periods=counters.periods,
        xruns=counters.xruns,
        bad_samples=counters.bad_samples,
        bad_outputs=counters.bad_outputs,
        longest_cycle_us=counters.worst_ns / 1000,
    )


def _realtime(rights: Rights) -> Realtime:
    of = {
        role: Priority(wanted=grant.wanted, granted=grant.granted)
        for role, grant in rights.grants.items()
    }
    return Realtime(
        server=rights.server,
        engine=of[Role.ENGINE],
        steering=of[Role.STEERING],
        networks=of[Role.NETWORKS],
        memory=Memory(wanted=True, granted=rights.memory_is_locked),
        missing=rights.missing,
        found=rights.found,
        remedy=rights.remedy,
    )
