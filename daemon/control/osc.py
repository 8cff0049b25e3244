"""Steering by OSC: the verbs of the control socket as addresses, over UDP.

``/stemd/STEM/gain`` (dB), ``/stemd/STEM/fader`` (0 to 1), ``/stemd/STEM/mute``,
``/stemd/STEM/solo``, ``/stemd/bypass`` (0 or 1), ``/stemd/reload``, ``/stemd/stop``.
"""

import logging
from threading import Thread
from typing import Any

from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import BlockingOSCUDPServer

from stemd.daemon.control.console import Steerable, UnknownStemError, set_strip
from stemd.daemon.control.mixer import MAX_DB, OFF_DB, decibels_at
from stemd.daemon.errors import StemdError

log = logging.getLogger(__name__)


class OscServer:
    """Listens on a UDP port, on a thread of its own.

    Parameters
    ----------
    host : str
    port : int
        0: any that is free.
    daemon : Steerable

    Raises
    ------
    StemdError
        The port cannot be had.
    """

    def __init__(self, host: str, port: int, daemon: Steerable) -> None:
        self._daemon = daemon
        dispatcher = Dispatcher()
        dispatcher.map("/stemd/bypass", self._bypass)
        dispatcher.map("/stemd/reload", lambda *_: self._daemon.reload())
        dispatcher.map("/stemd/stop", lambda *_: self._daemon.stop())
        for what in ("gain", "fader", "mute", "solo"):
            dispatcher.map(f"/stemd/*/{what}", self._set)
        try:
            self._server = BlockingOSCUDPServer((host, port), dispatcher)
        except OSError as error:
            raise StemdError(
                f"cannot listen for OSC on {host}, port {port}: {error.strerror}; choose another "
                "one (osc.port)"
            ) from None
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, name="stemd-osc", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _set(self, address: str, *values: Any) -> None:
        _, _, stem, what = address.split("/")
        value = _number(address, values)
        if value is None:
            return
        change: dict[str, float | bool]
        if what in ("mute", "solo"):
            change = {what: value != 0}
        else:
            gain = decibels_at(value) if what == "fader" else value
            change = {"gain": min(max(gain, OFF_DB), MAX_DB)}
        try:
            set_strip(self._daemon, stem, change)
        except UnknownStemError as error:
            log.warning("OSC %s: %s", address, error)

    def _bypass(self, address: str, *values: Any) -> None:
        value = _number(address, values)
        if value is not None:
            self._daemon.bypass(value != 0)


def _number(address: str, values: tuple[Any, ...]) -> float | None:
    """Return the one finite number that a message must have."""
    match values:
        case [int() | float() as value] if -1e9 < value < 1e9:
            return float(value)
    log.warning("OSC %s: wants one number (got %s)", address, str(values)[:80])
    return None
