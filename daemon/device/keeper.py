"""Keeps a loopback running."""

import logging
import signal
import subprocess
from collections.abc import Mapping
from math import inf

from stemd.daemon.child_process import end_process, ended_with_stemd

log = logging.getLogger(__name__)

SHORT_LIFE_S, FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 0.5, 30.0
"""A loopback that ends within so long is started again after a pause, which doubles each time."""

STOP_S = 0.5
"""How long it may take to end before it is killed."""


class Keeper:
    """Starts a program, and again when it ends by itself (main thread).

    Parameters
    ----------
    variables : dict
        The program's environment.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None
        self._began = -inf
        self._pause_s = 0.0
        self._due = -inf

    @property
    def is_running(self) -> bool:
        """Whether it was started, and did not end since."""
        return self._process is not None and self._process.poll() is None

    def is_pausing(self, now: float) -> bool:
        """Whether it has ended too soon, and is not started yet."""
        return now < self._due

    def keep(self, command: list[str], now: float) -> bool:
        """Start the program where it does not run and is due; return whether it was started."""
        self._note_end(command[0], now)
        if self._process or now < self._due:
            return False
        try:
            self._process = subprocess.Popen(
                [*ended_with_stemd(signal.SIGKILL), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._variables,
                process_group=0,  # a Ctrl-C is for stemd
            )
        except OSError as error:
            log.warning("cannot start %s: %s; trying again", command[0], error.strerror)
            self._wait(now)
            return False
        self._began = now
        return True

    def end(self) -> None:
        """End it in good order: the graph loses cycles in which a program is killed."""
        if self._process:
            end_process(self._process, STOP_S)
            self._process = None

    def _note_end(self, program: str, now: float) -> None:
        if not self._process or (code := self._process.poll()) is None:
            return
        self._process = None
        if now - self._began > SHORT_LIFE_S:
            self._pause_s = 0.0
        else:
            self._wait(now)
        log.warning(
            "%s ended by itself (exit code %d): starting it again in %.1f s",
            program,
            code,
            self._pause_s,
        )

    def _wait(self, now: float) -> None:
        self._pause_s = min(max(2 * self._pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self._due = now + self._pause_s
