"""How the log is written: for people on a terminal, or with priorities for the journal."""

import logging
import os
import sys
from collections.abc import Mapping
from time import monotonic

BURST, REPEAT_S = 3, 60.0
"""The same line is written so often in so long, and then with how often it came meanwhile."""

PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
"""Of syslog(3)."""


class JournalFormatter(logging.Formatter):
    """Begins each line with its priority, as sd-daemon(3) tells; the journal knows the time."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        priority = PRIORITIES.get(record.levelno, 2)
        lines = super().format(record).splitlines() or [""]
        return "\n".join(f"<{priority}>{line}" for line in lines)


class RepeatFilter(logging.Filter):
    """Leaves out what was said a moment ago."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, tuple[float, int]] = {}
        """When a line was said first of late, and how often since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is to be written, and say how many were not."""
        text, now = record.getMessage(), monotonic()
        first, times = self._said.get(text, (now, 0))
        if now - first < REPEAT_S:
            self._said[text] = first, times + 1
            return times < BURST
        self._said = {each: it for each, it in self._said.items() if now - it[0] < REPEAT_S}
        self._said[text] = now, 1
        if times > BURST:
            record.msg, record.args = f"{text} ({times - BURST} more times meanwhile)", None
        return True


def set_up(verbose: bool, environment: Mapping[str, str]) -> None:
    """Have everything written to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RepeatFilter())
    line = "%(levelname)s %(name)s: %(message)s" if verbose else "%(message)s"
    if is_journal(environment):
        handler.setFormatter(JournalFormatter("%(name)s: %(message)s" if verbose else line))
    else:
        handler.setFormatter(logging.Formatter(line))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("stemd").setLevel(logging.DEBUG if verbose else logging.INFO)


def is_journal(environment: Mapping[str, str]) -> bool:
    """Tell whether standard error goes to the journal; see systemd.exec(5), JOURNAL_STREAM."""
    try:
        there = os.fstat(2)
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"
