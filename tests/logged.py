"""The log of a program, read without waiting for what may never come."""

import os
import select
from time import monotonic

from waiting import PATIENCE_S


class Log:
    """What a program writes to a pipe, in bytes.

    Parameters
    ----------
    file
        Its standard error.
    """

    def __init__(self, file) -> None:
        self._file = file
        self._bytes = b""
        self._seen = 0  # lines up to the last one that was waited for
        self._has_ended = False

    def wait_for(self, words: str, patience_s: float = PATIENCE_S) -> str:
        """Return the next line with these words, after the one last waited for."""
        until = monotonic() + patience_s
        while True:
            for number, line in enumerate(self.lines()[self._seen :], self._seen + 1):
                if words in line:
                    self._seen = number
                    return line
            left = until - monotonic()
            assert left > 0 and not self._has_ended, (
                f"no line with {words!r} in {patience_s} s:\n{self.read()}"
            )
            select.select([self._file], [], [], min(left, 1))

    def find(self, words: str) -> str:
        """Return the first line of all so far with these words."""
        found = [line for line in self.lines() if words in line]
        assert found, f"no line with {words!r}:\n{self.read()}"
        return found[0]

    def lines(self) -> list[str]:
        """Return all whole lines so far, without their ends."""
        return [line.rstrip("\n") for line in self.read().splitlines(True) if line.endswith("\n")]

    def read(self) -> str:
        """Return all that was written so far."""
        while not self._has_ended and select.select([self._file], [], [], 0)[0]:
            chunk = os.read(self._file.fileno(), 65_536)
            self._has_ended = not chunk
            self._bytes += chunk
        return self._bytes.decode(errors="replace")  # a character may have come in part

    def close(self) -> None:
        """Keep what was written so far, and close the pipe."""
        self.read()
        self._has_ended = True
        self._file.close()
