"""Whether what plays works: counters in, the trouble or none out."""

from stemd.daemon.engine.separation import Separation
from stemd.dsp.scheme import HOP_LENGTH, SAMPLERATE, Scheme

WEDGED_S = 2.0
"""After so long without output, while cycles pass, an engine is replaced."""

HUNG_S = 10.0
"""After so long beyond a block without an estimate, while cycles pass, so is one whose networks
hang."""


class Advance:
    """Measures for how long a number has stood still."""

    def __init__(self) -> None:
        self._value: int | None = None
        self._since = 0.0

    def since(self, value: int, now: float) -> float:
        """Note the number; return the seconds for which it has been the same."""
        if value != self._value:
            self._value, self._since = value, now
        return now - self._since

    def restart(self, now: float) -> None:
        """Begin to count anew."""
        self._since = now


class Health:
    """Whether one separation works (main thread).

    Parameters
    ----------
    separation : Separation
    scheme : Scheme
    """

    def __init__(self, separation: Separation, scheme: Scheme) -> None:
        self._separation = separation
        self._hung_s = HUNG_S + scheme.B * HOP_LENGTH / SAMPLERATE
        self._output, self._estimates = Advance(), Advance()

    def excuse(self, now: float) -> None:
        """Expect nothing of what was due until now: the server does not call."""
        self._output.restart(now)
        if not self._separation.holds_bounce:
            self._estimates.restart(now)

    def trouble(self, now: float) -> str | None:
        """Return what is wrong, if anything is; called several times a second."""
        delivered = self._separation.link.counters().delivered
        wedged_s = self._output.since(delivered, now)
        hung_s = self._estimates.since(self._separation.estimated, now)
        if self._separation.failure:
            return str(self._separation.failure)
        if wedged_s > WEDGED_S:
            return f"nothing came out for {WEDGED_S:.0f} s"
        if hung_s > self._hung_s:
            return f"a network did not end within {self._hung_s:.0f} s"
        return None


class Flow:
    """Whether the music flows, as far as that is up to stemd (main thread)."""

    def __init__(self) -> None:
        self._last = (0, 0)

    def goes_on(self, periods: int, delivered: int, is_mending: bool) -> bool:
        """Note the counters; return whether they have moved on since the last look.

        Parameters
        ----------
        periods : int
            Cycles of the server.
        delivered : int
            Frames that the engine has written.
        is_mending : bool
            The engine is being replaced, and the input is heard meanwhile.
        """
        before, self._last = self._last, (periods, delivered)
        return periods != before[0] and (delivered != before[1] or is_mending)
