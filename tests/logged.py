"""The log of a program, read without waiting for what may never come."""

import os
import select
from time import monotonic


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
        self._has_ended = False

    def wait_for(self, words: str, patience_s: float = 60) -> None:
        until = monotonic() + patience_s
        while words not in self.read():
            left = until - monotonic()
            assert left > 0 and not self._has_ended, (
                f"it did not say {words!r} in {patience_s} s but:\n{self.read()}"
            )
            select.select([self._file], [], [], min(left, 1))

    def read(self) -> str:
        """All that it said so far."""
        while select.select([self._file], [], [], 0)[0]:
            chunk = os.read(self._file.fileno(), 65_536)
            if not chunk:
                self._has_ended = True
                break
            self._bytes += chunk
        return self._bytes.decode()

    def forget(self) -> None:
        """Look no more at what it said so far."""
        self.read()
        self._bytes = b""
