"""The control socket: answers requests and sends events, on a thread of its own."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from stemd.daemon.control import protocol
from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.events import ClientNamed, Event, MetersRead
from stemd.daemon.control.interfaces.control_section import ControlSection
from stemd.daemon.control.interfaces.owned_socket import OwnedSocket
from stemd.daemon.control.interfaces.streams import StreamServer
from stemd.daemon.control.pace import Pace
from stemd.daemon.control.protocol import Request, RequestError
from stemd.daemon.control.replies import Bypassed
from stemd.daemon.control.socket_paths import peer_of
from stemd.daemon.control.steerable import Steerable, UnknownStemError, set_strip
from stemd.daemon.errors import StemdError

log = logging.getLogger(__name__)

MAX_CLIENTS = 64

ANSWER_S = 30.0
"""How long the daemon may take to answer, and how long to wait for a controller to move."""

LOOK_S = 0.5
"""How soon the server notices that a client has left while it waits for a controller."""

UNREAD = 65_536
"""Unread bytes of a client after which events are left out for it."""

WRITE_S = 5.0
"""How long a client may leave a reply unread before its connection is closed."""


Result = TypeVar("Result")


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
            await self.turn()
            with ExitStack() as stack:
                await _Conversation(self, reader, writer, stack).hold()
        finally:
            self._served -= 1

    async def turn(self) -> None:
        """Wait until the next request may be answered."""
        await asyncio.sleep(self._pace.take())

    async def answer(self, request: Request, has_left: Callable[[], bool]) -> object:
        """Do what is asked; return what `protocol.reply` takes.

        Parameters
        ----------
        request : Request
        has_left : callable
            Whether the client has closed its side of the connection.

        Raises
        ------
        RequestError
            The request failed.
        """
        try:
            return await self._do(request, has_left)
        except Exception as error:  # noqa: BLE001 - the client is to have an answer to anything
            raise _refused(request, error) from None

    async def _do(self, request: Request, has_left: Callable[[], bool]) -> object:
        match request:
            case protocol.Status():
                return await _result(self._daemon.status())
            case protocol.Set():
                change = request.model_dump(include={"gain", "mute", "solo"}, exclude_none=True)
                return set_strip(self._daemon, request.stem, change)
            case protocol.Bypass():
                return Bypassed(on=await _result(self._daemon.bypass(request.on)))
            case protocol.Device():
                return await _result(self._daemon.device(request.mode))
            case protocol.Learn():
                return await self._learn(request, has_left)
            case protocol.Reload():
                return await _result(self._daemon.reload())
            case protocol.Stop():
                self._daemon.stop()
            case protocol.Subscribe():
                pass  # once it is answered: see `_Conversation`
        return {}

    async def _learn(self, request: protocol.Learn, has_left: Callable[[], bool]) -> Binding:
        """Wait for a controller while the client waits."""
        learned = self._daemon.learn(Binding(cc=0, **request.model_dump(exclude={"do", "id"})))
        until = self._streams.loop.time() + ANSWER_S
        while not has_left() and self._streams.loop.time() < until:
            with suppress(TimeoutError):
                return await _result(learned, LOOK_S)
        learned.cancel()
        raise RequestError("failed", f"no controller moved for {ANSWER_S:.0f} s", request.id)

    def subscribe(self, conversation: "_Conversation", stack: ExitStack) -> None:
        """Send events to a client until the stack is left."""

        def send(event: Event) -> None:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                self._streams.loop.call_soon_threadsafe(conversation.send, event)

        stack.enter_context(self._daemon.bulletin.subscription(send))

    async def send_meters(self, conversation: "_Conversation", interval_s: float) -> None:
        """Send levels to a client at an interval."""
        while True:
            await self.turn()
            conversation.send(MetersRead(self._daemon.peaks()))
            await asyncio.sleep(interval_s)


class _Conversation:
    """One client's connection."""

    def __init__(
        self,
        server: ControlServer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        stack: ExitStack,
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._stack = stack
        self._is_subscribed = False
        self._meters: asyncio.Task[None] | None = None
        self._left_out = 0

    async def hold(self) -> None:
        """Answer line after line."""
        self._stack.callback(lambda: self._meters and self._meters.cancel())
        while line := await self._read():
            await self._server.turn()
            await self._write(await self._reply(line))

    def send(self, event: Event) -> None:
        """Send an event, unless the client reads too slowly."""
        if self._writer.transport.get_write_buffer_size() > UNREAD:
            self._left_out += 1
            return
        if self._left_out:
            event, self._left_out = replace(event, left_out=self._left_out), 0
        self._writer.write(protocol.line(event.as_json()))

    async def _read(self) -> bytes:
        """Return the next line; empty at the end."""
        try:
            return await self._reader.readuntil()
        except asyncio.IncompleteReadError:
            return b""
        except asyncio.LimitOverrunError:
            error = RequestError("long", f"a line has at most {protocol.LONGEST_LINE} bytes")
            await self._write(protocol.refusal(error))
            return b""

    async def _reply(self, line: bytes) -> bytes:
        try:
            request = protocol.parse(line)
            result = await self._server.answer(request, self._reader.at_eof)
        except RequestError as error:
            return protocol.refusal(error)
        if isinstance(request, protocol.Subscribe):
            self._subscribe(request.meters)
        return protocol.reply(request.id, result)

    def _subscribe(self, meters_s: float | None) -> None:
        if not self._is_subscribed:
            self._is_subscribed = True
            self._server.subscribe(self, self._stack)
        if self._meters:
            self._meters.cancel()
            self._meters = None
        if meters_s:
            self._meters = asyncio.create_task(self._server.send_meters(self, meters_s))

    async def _write(self, reply: bytes) -> None:
        self._writer.write(reply)
        # Not `wait_for`, which forgets to end where both happen at once (Python 3.11).
        async with asyncio.timeout(WRITE_S):
            await self._writer.drain()


def _refused(request: Request, error: Exception) -> RequestError:
    """Return what to reply to a request that failed."""
    match error:
        case RequestError():
            return error
        case ValidationError():  # of the binding
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            return RequestError("request", message, request.id)
        case UnknownStemError():
            return RequestError("stem", str(error), request.id)
        case StemdError():
            return RequestError("failed", str(error), request.id)
        case TimeoutError():
            return RequestError(
                "busy",
                f"not done after {ANSWER_S:.0f} s, but still under way: an event reports its end",
                request.id,
            )
    log.exception("request %s", request.do)
    return RequestError("failed", f"{type(error).__name__}: the log has the details", request.id)


async def _result(future: "Future[Result]", patience_s: float | None = None) -> Result:
    """Wait for the result; after a timeout, the work itself goes on."""
    async with asyncio.timeout(ANSWER_S if patience_s is None else patience_s):
        return await asyncio.shield(asyncio.wrap_future(future))


def _is_owner(connection: socket.socket) -> bool:
    """Whether the client belongs to this user or to root."""
    _, user = peer_of(connection)
    return user in (os.getuid(), 0)
