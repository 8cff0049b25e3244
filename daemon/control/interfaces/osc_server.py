"""Steering by OSC: the verbs of the control socket as addresses, over UDP.

``/stemd/STEM/gain`` (dB), ``/stemd/STEM/fader`` (0 to 1), ``/stemd/STEM/mute``,
``/stemd/STEM/solo``, ``/stemd/bypass``, ``/stemd/record`` (0 or 1; without a value, the other
state), ``/stemd/preset`` (its name), ``/stemd/reload``, ``/stemd/stop``; ``/stemd/*`` asks for all
values, ``/stemd/subscribe`` for each change too, and ``/stemd/meters`` also for levels.
(Wright and Freed, "Open Sound Control 1.0", 2002; the library reads messages, and nothing else of
it is used: patterns in addresses, and times of bundles, would let a stranger keep stemd busy.)
"""

import logging
import socket
from concurrent.futures import Future
from contextlib import ExitStack
from math import isfinite
from threading import Event
from typing import cast

from pythonosc.osc_message import OscMessage

from stemd.daemon.control.interfaces.listening import cannot_listen
from stemd.daemon.control.interfaces.osc_feedback import Address, Feedback
from stemd.daemon.control.interfaces.osc_messages import messages_in
from stemd.daemon.control.interfaces.osc_section import OscSection
from stemd.daemon.control.mixer import MAX_DB, OFF_DB, decibels_at
from stemd.daemon.control.pace import Pace
from stemd.daemon.control.replies import Reloaded
from stemd.daemon.control.steerable import Steerable, UnknownStemError, record, set_strip
from stemd.daemon.engine.scheduling import steering_thread
from stemd.daemon.presets import PRESETS, PresetName

log = logging.getLogger(__name__)

LONGEST_DATAGRAM = 1024
"""Bytes; a longer datagram is cut, so it is not valid OSC."""

LOOK_S = 0.5
"""How soon the thread notices that it must end, and how long it pauses after an error."""


ASKED = ("*", "subscribe", "meters", "unsubscribe")
"""What clients send for the sake of the answers, to where they are or to a port that they name."""


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
        self._feedback = Feedback(daemon, self._socket.sendto)
        self._subscription = ExitStack()
        self._thread = steering_thread(self._listen, OscSection.thread)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()
        self._subscription.enter_context(self._daemon.bulletin.subscription(self._feedback.note))

    def close(self) -> None:
        """Stop listening."""
        self._subscription.close()
        self._ending.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._ending.is_set():
            self._feedback.deliver()
            self._socket.settimeout(self._feedback.patience_s(LOOK_S))
            try:
                datagram, sender = self._socket.recvfrom(LONGEST_DATAGRAM)
            except TimeoutError:
                continue
            except OSError as error:
                log.warning("OSC: nothing can be received: %s", error.strerror)
                self._ending.wait(LOOK_S)
                continue
            self._feedback.renew(sender[0])
            for message in messages_in(datagram):
                if self._ending.wait(self._pace.take()):
                    return
                if message:
                    self._follow(message, sender)

    def _follow(self, message: OscMessage, sender: Address) -> None:
        values = list(message)
        match message.address.split("/"), values:
            case ["", "stemd", "reload"], _:
                self._daemon.reload_soon()
            case ["", "stemd", "stop"], _:
                self._daemon.stop()
            case ["", "stemd", what], [] | [int()] if what in ASKED:
                self._answer(what, (sender[0], values[0]) if values else sender)
            case ["", "stemd", "preset"], [str() as name]:
                self._change_preset(name)
            case ["", "stemd", _, "gain" | "fader"], []:
                self._feedback.query(sender)
            case ["", "stemd", ("bypass" | "record") as what], [] | [int() | float()]:
                self._switch(what, values[0] != 0 if values else None)
            case ["", "stemd", stem, ("mute" | "solo") as what], []:
                self._change_over(stem, what)
            case ["", "stemd", stem, ("gain" | "fader" | "mute" | "solo") as what], [
                int() | float() as value
            ] if isfinite(value):
                self._set(stem, what, float(value))
            case _:
                log.warning("OSC: there is nothing at %.80r with %.80r", message.address, values)

    def _answer(self, what: str, client: Address) -> None:
        """Do what is asked for the sake of its answers."""
        match what:
            case "subscribe" | "meters":
                self._feedback.subscribe(client, with_levels=what == "meters")
            case "unsubscribe":
                self._feedback.unsubscribe(client)
            case _:
                self._feedback.query(client)

    def _change_preset(self, name: str) -> None:
        if name not in PRESETS:
            log.warning("OSC: a preset is one of %s (got %.80r)", ", ".join(PRESETS), name)
            return

        def note(ended: "Future[Reloaded]") -> None:
            if error := ended.exception():
                log.warning("OSC: %s", error)
                self._feedback.refresh()  # the client shows what it wished

        self._daemon.reload(cast("PresetName", name)).add_done_callback(note)

    def _switch(self, what: str, on: bool | None) -> None:
        if what == "record":
            record(self._daemon, on)
        else:
            self._daemon.bypass(on)

    def _change_over(self, stem: str, what: str) -> None:
        strip = self._daemon.mixer.strips().get(stem)
        self._set(stem, what, 0.0 if strip and getattr(strip, what) else 1.0)

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
