"""A place in a session of the New Session Manager (NSM API 1.1, over OSC)."""

import logging
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from pythonosc.osc_message_builder import build_msg

from stemd.daemon.control.events import Event, StateChanged
from stemd.daemon.control.interfaces.nsm import THREAD
from stemd.daemon.control.interfaces.osc_messages import messages_in
from stemd.daemon.engine.scheduling import steering_thread
from stemd.daemon.errors import StemdError
from stemd.tflite_models.printable import printable

log = logging.getLogger(__name__)

NAME = "stemd"
API_MAJOR, API_MINOR = 1, 1

LOOK_S = 0.5
"""How soon the thread notices that it is to end."""

SILENT_S = 10.0
"""After so long a silence of the session manager a warning is logged."""

ERR_GENERAL = -1


CLOSED = ("loading", "waiting")
"""States in which there are no ports."""


@dataclass(frozen=True)
class Opened:
    """What the session manager wants opened."""

    path: Path
    """Where the client may save what belongs to the session."""

    client_name: str
    """What it must call itself in the graph."""


class NsmClient:
    """The session manager's client: announced at once, it waits to be opened.

    Parameters
    ----------
    url : str
        What NSM_URL says: ``osc.udp://host:port/``.

    Raises
    ------
    StemdError
        It says something else.
    """

    def __init__(self, url: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(LOOK_S)
        try:
            parts = urlsplit(url)
            if parts.scheme != "osc.udp" or not parts.hostname or not parts.port:
                raise ValueError
            self._manager = parts.hostname, parts.port
            self._socket.connect(self._manager)
        except (OSError, ValueError, TypeError):  # TypeError: of a host that no name can be
            self._socket.close()
            raise StemdError(
                f"NSM_URL must be like osc.udp://localhost:16000/ (got {url!r}): start stemd from "
                "the session manager, or without NSM_URL"
            ) from None
        self._save: Callable[[], str] | None = None
        self._is_open = False
        self._opened: Opened
        self._refusal = ""
        self._news = Flag()
        self._ending = Flag()
        self._thread = steering_thread(self._listen, THREAD)
        program = os.path.basename(sys.argv[0])  # noqa: PTH119 - as the manager found it
        self._send("/nsm/server/announce", NAME, ":", program, API_MAJOR, API_MINOR, os.getpid())
        self._thread.start()

    def wait_for_open(self) -> Opened:
        """Wait until the session manager says what to open.

        Raises
        ------
        StemdError
            It does not want us.
        """
        warn_at = monotonic() + SILENT_S
        while not self._news.wait(LOOK_S):  # so that signals are heard
            if monotonic() >= warn_at:
                log.warning("the session manager at %s:%d says nothing yet", *self._manager)
                warn_at = float("inf")
        if self._refusal:
            raise StemdError(f"the session manager refuses stemd: {self._refusal}")
        return self._opened

    def fail(self, reason: str) -> None:
        """Report that what was to be opened cannot be."""
        self._send("/error", "/nsm/client/open", ERR_GENERAL, reason)

    def follow(self, save: Callable[[], str], event: Event) -> None:
        """Report that stemd is open as soon as there are ports.

        Parameters
        ----------
        save : callable
            Saves what is set; returns why it is not saved, or nothing. It may wait.
        event : Event
        """
        self._save = save
        has_ports = isinstance(event, StateChanged) and event.state not in CLOSED
        if has_ports and not self._is_open:
            self._is_open = True
            self._send("/reply", "/nsm/client/open", "playing")

    def close(self) -> None:
        """Leave the session."""
        self._ending.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._ending.is_set():
            try:
                datagram = self._socket.recv(65_536)
            except TimeoutError:
                continue
            except OSError:  # the manager is gone
                self._ending.wait(LOOK_S)
                continue
            for message in filter(None, messages_in(datagram)):
                self._follow(message.address, list(message))

    def _follow(self, address: str, values: list[Any]) -> None:
        match address, values:
            case "/reply", ["/nsm/server/announce", str(said), *_]:
                log.info("in the session of %s", said)
            case "/error", ["/nsm/server/announce", _, str(said)] if not self._news.is_set():
                self._refusal = said
                self._news.set()
            case "/error", [_, _, str(said)]:
                log.warning("the session manager says: %s", said)
            case "/nsm/client/open", [str(path), _, str(client_name)] if not self._news.is_set():
                self._opened = Opened(Path(path), client_name)
                self._news.set()
            case "/nsm/client/open", _:
                self._send("/error", address, ERR_GENERAL, "it cannot go over to another session")
            case "/nsm/client/save", _:
                reason = self._save() if self._save else "it has not been opened yet"
                if reason:
                    self._send("/error", address, ERR_GENERAL, reason)
                else:
                    self._send("/reply", address, "saved")

    def _send(self, address: str, *values: Any) -> None:
        plain = [printable(each) if isinstance(each, str) else each for each in values]
        try:
            self._socket.send(build_msg(address, plain).dgram)
        except OSError as error:
            log.warning("the session manager receives nothing: %s", error.strerror)
