"""Announces a port in the local network by Avahi."""

import logging
import shutil
import signal
import socket
import subprocess

from stemd.daemon.child_process import end_process, ended_with_stemd
from stemd.daemon.packages import AVAHI_PROGRAMS, install

log = logging.getLogger(__name__)

PROGRAM = "avahi-publish-service"


class Announcement:
    """Announces a web page as long as it is open (main thread).

    Avahi's own program does it: it waits until Avahi runs, and gives way to a name that another
    machine has.

    Parameters
    ----------
    port : int
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to announce it; log why that is not possible."""
        if not shutil.which(PROGRAM):
            log.warning(
                "web.announce: nothing is announced, as %s is not installed: %s",
                PROGRAM,
                install(AVAHI_PROGRAMS),
            )
            return
        name = f"stemd on {socket.gethostname()}"
        self._process = subprocess.Popen(
            [
                *ended_with_stemd(signal.SIGKILL),
                *(PROGRAM, "--no-fail", name, "_http._tcp", str(self._port), "path=/"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,  # a Ctrl-C is for stemd
        )

    def close(self) -> None:
        """Take the announcement back."""
        if self._process:
            end_process(self._process)
            self._process = None
