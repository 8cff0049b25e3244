"""Steering by OSC: the verbs of the control socket as addresses, over UDP.

``/stemd/STEM/gain`` (dB), ``/stemd/STEM/fader`` (0 to 1), ``/stemd/STEM/mute``,
``/stemd/STEM/solo``, ``/stemd/bypass``, ``/stemd/record`` (0 or 1), ``/stemd/reload``,
``/stemd/stop``.
(Wright and Freed, "Open Sound Control 1.0", 2002; the library reads messages, and nothing else of
it is used: patterns in addresses, and times of bundles, would let a stranger keep stemd busy.)
"""

import logging
import socket
from threading import Event
from typing import Any

from pythonosc.osc_message import OscMessage

from stemd.daemon.control.interfaces.listening import cannot_listen
from stemd.daemon.control.interfaces.osc_messages import messages_in
from stemd.daemon.control.interfaces.osc_section import OscSection
from stemd.daemon.control.mixer import MAX_DB, OFF_DB, decibels_at
from stemd.daemon.control.pace import Pace
from stemd.daemon.control.steerable import Steerable, UnknownStemError, record, set_strip
from stemd.daemon.engine.scheduling import steering_thread

log = logging.getLogger(__name__)

LONGEST_DATAGRAM = 1024
"""Bytes; a longer datagram is cut, so it is not valid OSC."""

LOOK_S = 0.5
"""How soon the thread notices that it must end, and how long it pauses after an error."""


class OscServer:
    """Listens on a UDP port, on its own thread.

    Parameters
    ----------
    host : str
    port : int
        0: a free one.
    daemon : Steerable
    pace : Pace, optional
        Shared with the other interfaces; by default its own.

    Raises
    ------
    StemdError
        The port cannot be used.
    """

    def __init__(self, host: str, port: int, daemon: Steerable, pace: Pace | None = None) -> None:
        self._daemon = daemon
        self._pace = pace or Pace()
        self._ending = Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(LOOK_S)
        try:
            self._socket.bind((host, port))
        except (OSError, TypeError, ValueError) as error:
            self._socket.close()
            raise cannot_listen("listen for OSC", "osc", host, port, error) from None
        self.port: int = self._socket.getsockname()[1]
        self._thread = steering_thread(self._listen, OscSection.thread)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._ending.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._ending.is_set():
            try:
                datagram = self._socket.recv(LONGEST_DATAGRAM)
            except TimeoutError:
                continue
            except OSError as error:
                log.warning("OSC: nothing can be received: %s", error.strerror)
                self._ending.wait(LOOK_S)
                continue
            for message in messages_in(datagram):
                if self._ending.wait(self._pace.take()):
                    return
                if message:
                    self._follow(message)

    def _follow(self, message: OscMessage) -> None:
        match message.address.split("/"):
            case ["", "stemd", "reload"]:
                self._daemon.reload_soon()
            case ["", "stemd", "stop"]:
                self._daemon.stop()
            case ["", "stemd", "bypass"]:
                if (value := _number(message)) is not None:
                    self._daemon.bypass(value != 0)
            case ["", "stemd", "record"]:
                if (value := _number(message)) is not None:
                    record(self._daemon, value != 0)
            case ["", "stemd", stem, ("gain" | "fader" | "mute" | "solo") as what]:
                if (value := _number(message)) is not None:
                    self._set(stem, what, value)
            case _:
                log.warning("OSC: there is nothing at %.80r", message.address)

    def _set(self, stem: str, what: str, value: float) -> None:
        change: dict[str, float | bool]
        if what in ("mute", "solo"):
            change = {what: value != 0}
        elif value > (highest := 1.0 if what == "fader" else MAX_DB):
            log.warning("OSC: a %s is %s at most (got %s)", what, highest, value)
            return
        else:
            change = {"gain": decibels_at(max(value, 0)) if what == "fader" else max(value, OFF_DB)}
        try:
            set_strip(self._daemon, stem, change)
        except UnknownStemError as error:
            log.warning("OSC: %s", error)


def _number(message: OscMessage) -> float | None:
    """Return the one number of a message; None if it has no finite number, or several values."""
    values: list[Any] = list(message)
    match values:
        case [int() | float() as value] if -1e9 < value < 1e9:
            return float(value)
    log.warning("OSC %.80r: needs one number (got %.80r)", message.address, values)
    return None
