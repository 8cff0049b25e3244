"""Finds out from the counters whether a separation works."""

from dataclasses import dataclass, replace
from enum import StrEnum

WEDGED_S = 2.0
"""Seconds without output, while cycles pass, after which an engine is replaced."""

HUNG_S = 10.0
"""Seconds without an estimate, beyond one block, after which networks are replaced, while cycles
pass."""

STOOD_STILL_S = 1.0
"""At most so much of the time between two looks counts: for longer, the process or the machine may
have stood still."""

KEEP_UP_S = 10.0
"""Seconds, beyond two blocks, after which a new setup that is still late is dropped."""


class AttendedClock:
    """A clock of the time in which the main thread looked after the session (main thread).

    What has not happened while nothing looked, or nothing ran, is no fault of others.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._looked_at: float | None = None

    def at(self, now: float) -> float:
        """Return the seconds that count, from the first look to this one.

        Parameters
        ----------
        now : float
            Seconds of a monotonic clock.
        """
        if self._looked_at is not None:
            self._seconds += min(now - self._looked_at, STOOD_STILL_S)
        self._looked_at = now
        return self._seconds


@dataclass(frozen=True)
class Standstill:
    """A counter, and since when it has not changed."""

    value: int | None = None
    since: float = 0.0
    """Seconds of an `AttendedClock`."""

    def after(self, value: int, now: float) -> "Standstill":
        """Return it with the present value of the counter."""
        return self if value == self.value else Standstill(value, now)

    def excused(self, seconds: float) -> "Standstill":
        """Return it as if the counter had stood still for so much less."""
        return replace(self, since=self.since + seconds)


@dataclass(frozen=True)
class Progress:
    """The counters of one separation, and since when each has not changed."""

    delivered: Standstill = Standstill()
    """Frames that the engine has written."""
    estimated: Standstill = Standstill()
    """Blocks that every network has done."""

    def after(self, delivered: int, estimated: int, now: float) -> "Progress":
        """Return it with the present values of the counters."""
        return Progress(self.delivered.after(delivered, now), self.estimated.after(estimated, now))

    def excused(self, seconds: float, holds_bounce: bool) -> "Progress":
        """Return it for a server that did not call for so long, so that nothing was expected.

        Parameters
        ----------
        seconds : float
            Since the last look, at most.
        holds_bounce : bool
            The server waits for an estimate, so the estimate is expected nevertheless.
        """
        estimated = self.estimated if holds_bounce else self.estimated.excused(seconds)
        return Progress(self.delivered.excused(seconds), estimated)


def trouble(
    progress: Progress, now: float, block_s: float, failure: Exception | None = None
) -> str | None:
    """Return what is wrong with a separation; None if it works.

    Parameters
    ----------
    progress : Progress
    now : float
        Seconds of the same `AttendedClock`.
    block_s : float
        Seconds of music in a block.
    failure : Exception or None
        What has ended the separation.
    """
    hung_s = HUNG_S + block_s
    if failure:
        return str(failure)
    if now - progress.delivered.since > WEDGED_S:
        return f"nothing came out for {WEDGED_S:.0f} s"
    if now - progress.estimated.since > hung_s:
        return f"a network did not end within {hung_s:.0f} s"
    return None


class Verdict(StrEnum):
    """Whether a new separation, which gets the music but is not audible yet, can take over."""

    WAIT = "wait"
    READY = "ready"
    TOO_LATE = "too late"


def verdict(
    heard_s: float, delay_s: float, block_s: float, in_time_in_a_row: int, is_overloaded: bool
) -> Verdict:
    """Decide whether the new separation can take over.

    Parameters
    ----------
    heard_s : float
        Seconds of music that it has processed.
    delay_s : float
        Its delay.
    block_s : float
        Seconds of music in a block.
    in_time_in_a_row : int
        Blocks that were in time since the last late one.
    is_overloaded : bool
        Its networks are too slow.
    """
    if heard_s >= delay_s and in_time_in_a_row > 0 and not is_overloaded:
        return Verdict.READY
    return Verdict.TOO_LATE if heard_s > delay_s + KEEP_UP_S + 2 * block_s else Verdict.WAIT


@dataclass(frozen=True)
class Flow:
    """The counters that the watchdog checks."""

    periods: int = 0
    """Cycles of the server."""
    delivered: int = 0
    """Frames that the engine has written."""


def flows(before: Flow, now: Flow, is_recovering: bool) -> bool:
    """Whether music flows: cycles pass, and the engine writes or the dry signal is heard.

    Parameters
    ----------
    before, now : Flow
        At the last check, and at this one.
    is_recovering : bool
        The engine is being replaced, and the dry signal is heard.
    """
    return now.periods != before.periods and (now.delivered != before.delivered or is_recovering)
