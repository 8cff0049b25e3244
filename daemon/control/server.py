"""The control socket: answers requests and tells events, on a thread of its own."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from stemd.daemon.control import protocol
from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.bulletin import Event
from stemd.daemon.control.console import Steerable, UnknownStemError, set_strip
from stemd.daemon.control.owned_socket import BACKLOG, OwnedSocket
from stemd.daemon.control.pace import Pace
from stemd.daemon.control.places import peer_of
from stemd.daemon.control.protocol import Request, RequestError
from stemd.daemon.errors import StemdError
from stemd.daemon.scheduling import steering_thread

log = logging.getLogger(__name__)

MAX_CLIENTS = 64

ANSWER_S = 30.0
"""How long the daemon may take to answer, and a controller that is to be learned to move."""

LOOK_S = 0.5
"""How soon it is noticed that somebody who wanted a controller learned has left."""

UNREAD = 65_536
"""Bytes that a client may leave unread before events are left out for it."""

WRITE_S = 5.0
"""How long a client may leave a reply unread before it is dropped."""


Result = TypeVar("Result")


class ControlServer:
    """Listens on a Unix socket that belongs to its owner alone.

    Parameters
    ----------
    path : Path
        Of the socket.
    daemon : Steerable
    pace : Pace, optional
        Shared with the other ways to steer it; by default its own.

    Raises
    ------
    StemdError
        It cannot be made there.
    """

    def __init__(self, path: Path, daemon: Steerable, pace: Pace | None = None) -> None:
        self.path = path
        self._daemon = daemon
        self._pace = pace or Pace()
        self._socket = OwnedSocket(path)
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._clients: set[asyncio.Task[None]] = set()
        self._thread = steering_thread(self._run, "stemd-control")

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Remove the socket, which the next daemon may need now, and drop all clients."""
        self._socket.give_up()
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self._loop.close()
        self._socket.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())

    async def _listen(self) -> None:
        server = await asyncio.start_unix_server(
            self._serve,
            sock=self._socket.socket,
            limit=protocol.LONGEST_LINE,
            backlog=BACKLOG,
        )
        await self._ending.wait()
        # One who was accepted at the last moment is still on the way to `_serve`: cancelled before
        # its first line, or without the server, it would never close its connection.
        self._loop.remove_reader(self._socket.socket)
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for client in self._clients:
                client.cancel()
            await asyncio.wait(tasks)
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a client until it leaves."""
        client = cast("asyncio.Task[None]", asyncio.current_task())
        self._clients.add(client)
        try:
            # Cancelled: the daemon ends.
            with (
                ExitStack() as stack,
                suppress(ConnectionError, TimeoutError, asyncio.CancelledError),
            ):
                if not self._ending.is_set():
                    # Those whom all are refused at once need not wait for it.
                    if len(self._clients) <= 2 * MAX_CLIENTS:
                        await self.turn()
                    is_one_too_many = len(self._clients) > MAX_CLIENTS
                    await _Conversation(self, reader, writer, stack).hold(is_one_too_many)
                stack.close()
                writer.close()
                async with asyncio.timeout(WRITE_S):
                    await writer.wait_closed()
        finally:
            self._clients.remove(client)
            writer.transport.abort()  # else it stays open as long as something is unread

    async def turn(self) -> None:
        """Wait until the next request may be answered."""
        await asyncio.sleep(self._pace.take())

    async def answer(self, request: Request, has_left: Callable[[], bool]) -> dict[str, Any]:
        """Do what is asked; return the result.

        Parameters
        ----------
        request : Request
        has_left : callable
            Tells whether the client has nothing more to say.

        Raises
        ------
        RequestError
            It cannot be done.
        """
        try:
            match request:
                case protocol.Status():
                    return await _result(self._daemon.status())
                case protocol.Set():
                    change = request.model_dump(include={"gain", "mute", "solo"}, exclude_none=True)
                    return set_strip(self._daemon, request.stem, change).model_dump()
                case protocol.Bypass():
                    return {"on": await _result(self._daemon.bypass(request.on))}
                case protocol.Learn():
                    return await self._learn(request, has_left)
                case protocol.Reload():
                    return await _result(self._daemon.reload())
                case protocol.Stop():
                    self._daemon.stop()
                    return {}
                case protocol.Subscribe():
                    return {}
        except RequestError:
            raise
        except ValidationError as error:  # of the binding
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise RequestError("request", message, request.id) from None
        except UnknownStemError as error:
            raise RequestError("stem", str(error), request.id) from None
        except StemdError as error:
            raise RequestError("failed", str(error), request.id) from None
        except TimeoutError:
            raise RequestError(
                "busy",
                f"not done after {ANSWER_S:.0f} s, but still under way: events tell when it is",
                request.id,
            ) from None
        except Exception as error:
            log.exception("request %s", request.do)
            raise RequestError(
                "failed", f"{type(error).__name__}, which the log tells more of", request.id
            ) from None

    async def _learn(self, request: protocol.Learn, has_left: Callable[[], bool]) -> dict[str, Any]:
        """Wait for a controller as long as somebody wants it learned."""
        learned = self._daemon.learn(Binding(cc=0, **request.model_dump(exclude={"do", "id"})))
        until = self._loop.time() + ANSWER_S
        while not has_left() and self._loop.time() < until:
            with suppress(TimeoutError):
                binding = await _result(learned, LOOK_S)
                return binding.model_dump(exclude_defaults=True)
        learned.cancel()
        raise RequestError("failed", f"no controller moved for {ANSWER_S:.0f} s", request.id)

    def subscribe(self, conversation: "_Conversation", stack: ExitStack) -> None:
        """Have a client told of events until the stack is left."""

        def tell(event: Event) -> None:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                self._loop.call_soon_threadsafe(conversation.tell, event)

        stack.enter_context(self._daemon.bulletin.subscription(tell))

    async def tell_meters(self, conversation: "_Conversation", interval_s: float) -> None:
        """Tell a client how loud everything is, again and again."""
        while True:
            await self.turn()
            conversation.tell({"event": "meters", "peaks": self._daemon.peaks()})
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

    async def hold(self, is_one_too_many: bool) -> None:
        """Answer line after line."""
        if not _is_owner(self._writer.get_extra_info("socket")):
            return
        if is_one_too_many:
            error = RequestError(
                "busy", f"stemd is busy: {MAX_CLIENTS} clients are connected, the most; close some"
            )
            await self._write(protocol.refusal(error))
            return
        self._stack.callback(lambda: self._meters and self._meters.cancel())
        while line := await self._read():
            await self._server.turn()
            await self._write(await self._reply(line))

    def tell(self, event: Event) -> None:
        """Write an event, unless the client reads too slowly."""
        if self._writer.transport.get_write_buffer_size() > UNREAD:
            self._left_out += 1
            return
        if self._left_out:
            event, self._left_out = {**event, "left_out": self._left_out}, 0
        self._writer.write(protocol.line(event))

    async def _read(self) -> bytes:
        """Return the next line, nothing at the end."""
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
            self._meters = asyncio.create_task(self._server.tell_meters(self, meters_s))

    async def _write(self, reply: bytes) -> None:
        self._writer.write(reply)
        # Not `wait_for`, which forgets to end where both happen at once (Python 3.11).
        async with asyncio.timeout(WRITE_S):
            await self._writer.drain()


async def _result(future: "Future[Result]", patience_s: float = ANSWER_S) -> Result:
    """Wait for it; what takes longer goes on."""
    async with asyncio.timeout(patience_s):
        return await asyncio.shield(asyncio.wrap_future(future))


def _is_owner(connection: socket.socket) -> bool:
    """Whether the one at the other end is us, or root."""
    return peer_of(connection) in (os.getuid(), 0)
