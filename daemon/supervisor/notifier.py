"""Telling systemd the status of the service, by the protocol of sd_notify(3)."""

import socket
from collections.abc import Mapping
from contextlib import suppress

from stemd.tflite_models.printable import printable

READY_S = 10.0
"""Seconds to wait for a busy service manager with what it must know."""


class Notifier:
    """Sends notices to the service manager; does nothing where there is none.

    Parameters
    ----------
    environment : mapping
        The process's, with ``NOTIFY_SOCKET``.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # An abstract one is written with @ for its first byte.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._told = ""

    def ready(self) -> None:
        """Report that the service is up."""
        self._send("READY=1", READY_S)

    def stopping(self) -> None:
        """Report that the service is ending."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Report the status, in a line."""
        if text != self._told:
            self._told = text
            self._send(f"STATUS={printable(text)}")  # a newline would begin another notice

    def feed_watchdog(self) -> None:
        """Report that all is well."""
        self._send("WATCHDOG=1")

    def _send(self, notice: str, patience_s: float = 0) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.settimeout(patience_s)
            out.sendto(notice.encode(), self._address)
