"""Separations that run: how they are made, and whether they work."""

from stemd.daemon.engine.realtime import RealtimeSide
from stemd.daemon.engine.scheduling import Priorities
from stemd.daemon.engine.separation import Separation
from stemd.daemon.errors import StemdError
from stemd.daemon.graph.client import GraphClient
from stemd.daemon.supervisor import health
from stemd.daemon.supervisor.changes import Setup
from stemd.daemon.supervisor.health import Progress, Verdict


class Live:
    """A separation that runs (main thread, but for `end`).

    Parameters
    ----------
    separation : Separation
    setup : Setup
        What it was made of.

    Attributes
    ----------
    has_failed : bool
        It plays no more, and the dry signal is heard.
    trouble : str or None
        What `look` has found last.
    """

    def __init__(self, separation: Separation, setup: Setup) -> None:
        self.separation = separation
        self.setup = setup
        self.has_failed = False
        self.trouble: str | None = None
        self._number = setup.networks.number
        self._progress = Progress()
        self._block_s = setup.scheme.block_s

    def excuse(self, seconds: float) -> None:
        """Expect nothing of so much of the time since the last look: the server did not call."""
        self._progress = self._progress.excused(seconds, self.separation.holds_bounce)

    def look(self, now: float) -> str | None:
        """Return what is wrong, if anything is; called several times a second."""
        delivered = self.separation.link.counters().delivered
        self._progress = self._progress.after(delivered, self.separation.estimated, now)
        failure = self.separation.failure
        self.trouble = health.trouble(self._progress, now, self._block_s, failure)
        return self.trouble

    def verdict(self) -> Verdict:
        """Decide whether it can take over."""
        separation, blocks = self.separation, self.separation.report().blocks
        return health.verdict(
            separation.link.counters().frames / separation.samplerate,
            separation.delay_s,
            self._block_s,
            blocks.in_time_in_a_row,
            separation.is_overloaded,
        )

    def lateness(self) -> str:
        """Return in words how late its networks are."""
        blocks = self.separation.report().blocks
        return f"{blocks.late} of {blocks.total} blocks were late"

    def end(self) -> bool:
        """End its threads (any thread).

        Returns
        -------
        bool
            False if one of them hangs, and its networks can be used no more.
        """
        if self.separation.stop():
            return True
        self.setup.networks.give_up(self._number)
        return False


class Maker:
    """Makes separations that fit the server (main thread).

    Parameters
    ----------
    client : GraphClient
    rt : RealtimeSide
    is_bypassed : bool

    Attributes
    ----------
    is_bypassed : bool
        Separations begin with the dry signal.
    priorities : Priorities
        Separations begin with these.
    """

    def __init__(self, client: GraphClient, rt: RealtimeSide, is_bypassed: bool) -> None:
        self.is_bypassed = is_bypassed
        self.priorities = Priorities()
        self._client = client
        self._rt = rt

    def make(self, setup: Setup, is_held: bool = False) -> Live:
        """Make a separation, and let the server's thread take it up.

        Parameters
        ----------
        setup : Setup
        is_held : bool
            It hears the music, but does not take over.

        Raises
        ------
        StemdError
            There is no memory, or no network that can be used.
        """
        if not setup.networks.by_stem:
            raise StemdError("a network hangs, so its set cannot be used any more")
        separation = Separation(
            setup.networks.by_stem,
            setup.scheme,
            setup.extension,
            self._rt,
            self._client.samplerate,
            self.longest_period(setup),
            setup.networks.masks,
        )
        separation.set_priorities(self.priorities)
        separation.bypass(self.is_bypassed)
        live = Live(separation, setup)
        if is_held:
            separation.link.hold(True)
        if not self._rt.attach(separation.link):
            live.end()
            raise StemdError("another separation is still starting: try again")
        return live

    def fits(self, live: Live) -> bool:
        """Whether a separation was made for the server as it is now."""
        has_rate = live.separation.samplerate == self._client.samplerate
        return has_rate and live.separation.longest_period >= self._rt.counters().period

    def longest_period(self, setup: Setup) -> int:
        """Return the frames of the longest period for which the delay must have room."""
        return max(setup.longest_period, self._client.period, self._rt.counters().period)
