"""What PipeWire's session manager can do, asked without waiting for it."""

import os
import signal
import subprocess
from collections.abc import Mapping

PROGRAM = "pw-metadata"

QUESTION = f"{PROGRAM} -n filters; {PROGRAM} -n default"

ANSWER_S = 3.0
"""How long the programs may take: they wait for ever for a session manager that ends meanwhile."""

AGAIN_S = 2.0
"""After how long it is asked again while there is none."""


class SessionManager:
    """Asks whether there is a session manager, and whether it knows smart filters (main thread).

    WirePlumber keeps the metadata "default", since 0.5 also "filters".

    Parameters
    ----------
    variables : dict
        Environment of the programs that ask.

    Attributes
    ----------
    is_there : bool or None
        None before the first answer.
    has_smart_filters : bool
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.is_there: bool | None = None
        self.has_smart_filters = False
        self._process: subprocess.Popen[str] | None = None
        self._due = float("-inf")
        """When to ask next; while it is asked, until when."""

    def look(self, now: float) -> None:
        """Ask, or read the answer; once there is a session manager, nothing is asked any more."""
        if self._process:
            if self._process.poll() is not None or now > self._due:
                self._read(self._process, now)
        elif not self.is_there and now >= self._due:
            self._due = now + ANSWER_S
            self._process = subprocess.Popen(
                ["sh", "-c", QUESTION],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._variables,
                text=True,
                process_group=0,
            )

    def _read(self, process: "subprocess.Popen[str]", now: float) -> None:
        said = process.communicate()[0] if process.poll() is not None else ""
        self.close()
        self.is_there = 'Found "default"' in said
        self.has_smart_filters = 'Found "filters"' in said
        self._due = now + AGAIN_S

    def close(self) -> None:
        """Ask nothing more."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
        self._process = None
