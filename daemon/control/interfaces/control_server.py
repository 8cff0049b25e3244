"""The control socket: answers requests and sends events, on a thread of its own."""

import asyncio
import logging
import os
import socket
from contextlib import ExitStack
from pathlib import Path

from stemd.daemon.control import protocol
from stemd.daemon.control.events import ClientNamed, Event
from stemd.daemon.control.interfaces.control_section import ControlSection
from stemd.daemon.control.interfaces.conversation import Carrier, Conversation
from stemd.daemon.control.interfaces.door import Door
from stemd.daemon.control.interfaces.owned_socket import OwnedSocket
from stemd.daemon.control.interfaces.streams import StreamServer
from stemd.daemon.control.pace import Pace
from stemd.daemon.control.protocol import RequestError
from stemd.daemon.control.socket_paths import peer_of
from stemd.daemon.control.steerable import Steerable
from stemd.daemon.errors import StemdError

log = logging.getLogger(__name__)

MAX_CLIENTS = 64


class ControlServer:
    """Listens on a Unix socket that only its owner and root can use.

    Parameters
    ----------
    path : Path
        Path of the socket.
    daemon : Steerable
    pace : Pace, optional
        Shared with the other interfaces; by default its own.
    follows_name : bool
        Rename the socket when the audio server gives the daemon's client its name.

    Raises
    ------
    StemdError
        The socket cannot be made.
    """

    def __init__(
        self,
        path: Path,
        daemon: Steerable,
        pace: Pace | None = None,
        follows_name: bool = False,
    ) -> None:
        self._daemon = daemon
        self._pace = pace or Pace()
        self._socket = OwnedSocket(path)
        self._follows_name = follows_name
        self._following = ExitStack()
        self._served = 0
        self._streams = StreamServer(
            self._socket.socket, self._serve, protocol.LONGEST_LINE, ControlSection.thread
        )

    def start(self) -> None:
        """Begin to answer."""
        self._streams.start()
        if self._follows_name:
            subscription = self._daemon.bulletin.subscription(self._follow)
            self._following.enter_context(subscription)

    def _follow(self, event: Event) -> None:
        """Move the socket to the name that the audio server has given (any thread)."""
        if not isinstance(event, ClientNamed):
            return
        try:
            path = self._socket.path.with_name(f"{event.name}.socket")
            if path == self._socket.path:
                return
            self._socket.move(path)
        except (StemdError, ValueError) as error:  # ValueError: it can be no file's name
            log.warning("steer it by --socket %s, for %s", self.path, error)
        else:
            log.info("steer it by --socket %s", self.path)

    @property
    def path(self) -> Path:
        """Where it listens."""
        return self._socket.path

    def close(self) -> None:
        """Remove the socket, so that the next daemon can use the path, and drop all clients."""
        self._following.close()
        self._socket.give_up()
        self._streams.close()
        self._socket.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a client until it leaves."""
        if not _is_owner(writer.get_extra_info("socket")):
            return
        if self._served >= MAX_CLIENTS:
            error = RequestError(
                "busy", f"stemd is busy: {MAX_CLIENTS} clients are connected, the most; close some"
            )
            writer.write(protocol.refusal(error))
            return
        self._served += 1
        try:
            door = Door(self._pace, may_name_folders=True)
            await door.turn()
            await Conversation(self._daemon, _Lines(reader, writer), door).hold()
        finally:
            self._served -= 1


class _Lines(Carrier):
    """Messages as lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """Return the next line; empty at the end."""
        try:
            return await self._reader.readuntil()
        except asyncio.IncompleteReadError:
            return b""
        except asyncio.LimitOverrunError:
            raise RequestError(
                "long", f"a line has at most {protocol.LONGEST_LINE} bytes"
            ) from None

    def send(self, message: bytes) -> None:
        """Send a line."""
        self._writer.write(message)

    async def drain(self) -> None:
        """Wait until there is room for more."""
        await self._writer.drain()

    def unread(self) -> int:
        """Return how many bytes the client has not read."""
        return self._writer.transport.get_write_buffer_size()

    def has_left(self) -> bool:
        """Whether the client has closed its side."""
        return self._reader.at_eof()


def _is_owner(connection: socket.socket) -> bool:
    """Whether the client belongs to this user or to root."""
    _, user = peer_of(connection)
    return user in (os.getuid(), 0)
