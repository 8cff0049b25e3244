"""Whether what plays works: counters in, the trouble or none out."""

from dataclasses import dataclass, replace
from enum import StrEnum

WEDGED_S = 2.0
"""An engine is replaced that has written nothing for so many seconds, while cycles pass."""

HUNG_S = 10.0
"""Networks are replaced that have made no estimate for so many seconds beyond a block, while cycles
pass."""

KEEP_UP_S = 10.0
"""Seconds, beyond two blocks, after which another setup that is still late is given up."""


@dataclass(frozen=True)
class Standstill:
    """A counter, and since when it has stood still."""

    value: int | None = None
    since: float = 0.0
    """Seconds of a monotonic clock."""

    def after(self, value: int, now: float) -> "Standstill":
        """Return it with what the counter says now."""
        return self if value == self.value else Standstill(value, now)

    def excused(self, now: float) -> "Standstill":
        """Return it with a standstill that begins now."""
        return replace(self, since=now)


@dataclass(frozen=True)
class Progress:
    """The counters of one separation, and since when each has stood still."""

    delivered: Standstill = Standstill()
    """Frames that the engine has written."""
    estimated: Standstill = Standstill()
    """Blocks that every network has done."""

    def after(self, delivered: int, estimated: int, now: float) -> "Progress":
        """Return it with what the counters say now."""
        return Progress(self.delivered.after(delivered, now), self.estimated.after(estimated, now))

    def excused(self, now: float, holds_bounce: bool) -> "Progress":
        """Return it where nothing was due until now, for the server has not called.

        Parameters
        ----------
        now : float
        holds_bounce : bool
            The server waits for an estimate, which is therefore due all the same.
        """
        estimated = self.estimated if holds_bounce else self.estimated.excused(now)
        return Progress(self.delivered.excused(now), estimated)


def trouble(
    progress: Progress, now: float, block_s: float, failure: Exception | None = None
) -> str | None:
    """Return what is wrong with a separation; None where it works.

    Parameters
    ----------
    progress : Progress
    now : float
        Seconds of the same clock.
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
    """Whether another separation, which hears the music unheard, can take over."""

    WAIT = "wait"
    READY = "ready"
    TOO_LATE = "too late"


def verdict(
    heard_s: float, delay_s: float, block_s: float, in_time_in_a_row: int, is_overloaded: bool
) -> Verdict:
    """Decide whether another separation can take over.

    Parameters
    ----------
    heard_s : float
        Seconds of music that it has heard.
    delay_s : float
        Its delay.
    block_s : float
        Seconds of music in a block.
    in_time_in_a_row : int
        Blocks that were in time since the last one that was late.
    is_overloaded : bool
        Its networks do not keep up.
    """
    if heard_s >= delay_s and in_time_in_a_row > 0 and not is_overloaded:
        return Verdict.READY
    return Verdict.TOO_LATE if heard_s > delay_s + KEEP_UP_S + 2 * block_s else Verdict.WAIT


@dataclass(frozen=True)
class Flow:
    """What the watchdog looks at."""

    periods: int = 0
    """Cycles of the server."""
    delivered: int = 0
    """Frames that the engine has written."""


def flows(before: Flow, now: Flow, is_recovering: bool) -> bool:
    """Whether music flows: cycles pass, and the engine writes or the dry signal is heard meanwhile.

    Parameters
    ----------
    before, now : Flow
        At the last look, and at this one.
    is_recovering : bool
        The engine is being replaced, and the dry signal is heard.
    """
    return now.periods != before.periods and (now.delivered != before.delivered or is_recovering)
