"""How the log is written: for people on a terminal, or with priorities for the journal."""

import logging
import os
import sys
from collections.abc import Mapping
from threading import Lock
from time import monotonic
from typing import Any

from stemd.daemon.cli.program import as_typed
from stemd.daemon.errors import StemdError
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.printable import printable

BURST, REPEAT_S = 3, 60.0
"""How often the same line is written within how many seconds; then only its number is."""

REMEMBERED_S = 10 * REPEAT_S
"""How long the number of lines left out is remembered."""

MOST_OF_A_KIND = 60
"""How many lines that differ only in their details are written within REPEAT_S."""

PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
"""The priorities of syslog(3)."""


class PlainFormatter(logging.Formatter):
    """Escapes what does not print; a record is one line, except for errors of several lines.

    Names in a message come from other programs and from files, and a newline in one would else
    write a line of the log. `StemdError` and `ModelError` have escaped their own lines.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the message of a record, with further lines of an error indented."""
        args = record.args if isinstance(record.args, tuple) else ()
        if any(isinstance(arg, StemdError | ModelError) for arg in args):
            names = tuple(printable(arg) if isinstance(arg, str) else arg for arg in args)
            lines = (str(record.msg) % names).split("\n")
            record.message = as_typed("\n  ".join(map(printable, lines)))
        else:
            record.message = as_typed(printable(record.message))
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return the lines of a traceback, indented: an exception's own words may be several."""
        lines = super().formatException(ei).split("\n")
        return "\n".join(f"  {printable(line)}" for line in lines)


class JournalFormatter(PlainFormatter):
    """Begins each line with its priority, as sd-daemon(3) describes; the journal adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        priority = PRIORITIES.get(record.levelno, 2)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).split("\n"))


class RepeatFilter(logging.Filter):
    """Leaves out lines that were written a moment ago.

    Records that have `is_transition` (see `supervisor.state`) are left out only when there are very
    many: of a state that comes and goes, the last line must be the present one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()  # a handler's own is not held yet
        self._lines = _Written(BURST)
        self._kinds = _Written(MOST_OF_A_KIND)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write a record, to which the number of those left out is added."""
        text, now = record.getMessage(), monotonic()
        with self._lock:
            if getattr(record, "is_transition", False):
                return self._kinds.may_write(str(record.msg), now)[0]
            if text not in self._lines and not self._kinds.may_write(str(record.msg), now)[0]:
                return False
            may, left_out = self._lines.may_write(text, now)
        if may and left_out:
            record.msg, record.args = f"{text} ({left_out} more times meanwhile)", None
        return may


class _Written:
    """Which lines were written lately, and how often.

    Parameters
    ----------
    most : int
        How often the same may be written in REPEAT_S.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[str, tuple[float, int]] = {}
        self._forgot_at = monotonic()

    def __contains__(self, what: str) -> bool:
        return what in self._counts

    def may_write(self, what: str, now: float) -> tuple[bool, int]:
        """Return whether it may be written now, and how often it was left out before."""
        first, times = self._counts.get(what, (now, 0))
        if now - self._forgot_at >= REPEAT_S:
            self._forgot_at = now
            self._counts = {
                each: it for each, it in self._counts.items() if now - it[0] < REMEMBERED_S
            }
        if now - first < REPEAT_S:
            self._counts[what] = first, times + 1
            return times < self._most, 0
        self._counts[what] = now, 1
        return True, max(times - self._most, 0)


def set_up(verbose: bool, environment: Mapping[str, str]) -> None:
    """Write the log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RepeatFilter())
    line = "%(levelname)s %(name)s: %(message)s" if verbose else "%(message)s"
    if is_journal(environment):
        handler.setFormatter(JournalFormatter("%(name)s: %(message)s" if verbose else line))
    else:
        handler.setFormatter(PlainFormatter(line))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("stemd").setLevel(logging.DEBUG if verbose else logging.INFO)


def is_journal(environment: Mapping[str, str]) -> bool:
    """Whether standard error goes to the journal; see systemd.exec(5), JOURNAL_STREAM."""
    try:
        there = os.fstat(2)
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"
