"""A client's conversation in the protocol of docs/control.md, whatever carries its messages."""

import asyncio
import logging
from abc import abstractmethod
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Protocol, TypeVar

from pydantic import ValidationError

from stemd.daemon.control import protocol
from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.events import Event, MetersRead
from stemd.daemon.control.interfaces.door import Door
from stemd.daemon.control.protocol import Request, RequestError
from stemd.daemon.control.replies import Bypassed, Page
from stemd.daemon.control.steerable import Steerable, UnknownStemError, set_strip
from stemd.daemon.errors import StemdError
from stemd.daemon.record_wish import RecordWish

log = logging.getLogger(__name__)

ANSWER_S = 30.0
"""How long the daemon may take to answer, and how long to wait for a controller to move."""

LOOK_S = 0.5
"""How soon the server notices that a client has left while it waits for a controller."""

LOGIN_S = 5.0
"""How long a client may take to log in."""

UNREAD = 65_536
"""Unread bytes of a client after which events are left out for it."""

WRITE_S = 5.0
"""How long a client may leave a reply unread before its connection is closed."""


Result = TypeVar("Result")


class Carrier(Protocol):
    """Carries messages, each a line of JSON, from and to one client (the loop's thread)."""

    @abstractmethod
    async def read(self) -> bytes:
        """Return the next message; empty at the end.

        Raises
        ------
        RequestError
            It is too long, and the last one.
        """

    @abstractmethod
    def send(self, message: bytes) -> None:
        """Send a message, without waiting until there is room for it."""

    @abstractmethod
    async def drain(self) -> None:
        """Wait until there is room for more."""

    @abstractmethod
    def unread(self) -> int:
        """Return how many bytes the client has not read."""

    @abstractmethod
    def has_left(self) -> bool:
        """Whether the client has closed its side of the connection."""


class Conversation:
    """Answers one client's requests, and sends it events.

    Parameters
    ----------
    daemon : Steerable
    carrier : Carrier
    door : Door
    """

    def __init__(self, daemon: Steerable, carrier: Carrier, door: Door) -> None:
        self._daemon = daemon
        self._carrier = carrier
        self._door = door
        self._loop = asyncio.get_running_loop()
        self._stack = ExitStack()
        self._is_subscribed = False
        self._meters: asyncio.Task[None] | None = None
        self._left_out = 0

    async def hold(self) -> None:
        """Answer message after message until the client leaves."""
        with self._stack:
            self._stack.callback(lambda: self._meters and self._meters.cancel())
            try:
                while message := await self._read():
                    await self._door.turn()
                    await self._write(await self._reply(message))
            except RequestError as error:  # of the carrier, which carries no more
                await self._write(protocol.refusal(error))

    async def _read(self) -> bytes:
        async with asyncio.timeout(None if self._door.is_open else LOGIN_S):
            return await self._carrier.read()

    async def _reply(self, message: bytes) -> bytes:
        try:
            request = protocol.parse(message)
            self._door.check(request)
            result = await self._answer(request)
        except RequestError as error:
            return protocol.refusal(error)
        if isinstance(request, protocol.Subscribe):
            self._subscribe(request.meters)
        return protocol.reply(request.id, result)

    async def _write(self, reply: bytes) -> None:
        self._carrier.send(reply)
        # Not `wait_for`, which forgets to end where both happen at once (Python 3.11).
        async with asyncio.timeout(WRITE_S):
            await self._carrier.drain()

    async def _answer(self, request: Request) -> object:
        """Do what is asked; return what `protocol.reply` takes.

        Raises
        ------
        RequestError
            The request failed.
        """
        try:
            return await self._do(request)
        except Exception as error:  # noqa: BLE001 - the client is to have an answer to anything
            raise _refused(request, error) from None

    async def _do(self, request: Request) -> object:
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
            case protocol.Record():
                how = request.model_dump(exclude={"do", "id", "on"})
                return await _result(self._daemon.record(request.on, RecordWish(**how)))
        return await self._manage(request)

    async def _manage(self, request: Request) -> object:
        """Do what is asked of the daemon itself."""
        match request:
            case protocol.Learn():
                return await self._learn(request)
            case protocol.Reload():
                return await _result(self._daemon.reload(request.preset))
            case protocol.Web():
                return Page(address=self._daemon.page_address())
            case protocol.Stop():
                self._daemon.stop()
            case protocol.Subscribe() | protocol.Login():
                pass  # the one once it is answered, the other before: see `_reply`
        return {}

    async def _learn(self, request: protocol.Learn) -> Binding:
        """Wait for a controller while the client waits."""
        learned = self._daemon.learn(Binding(cc=0, **request.model_dump(exclude={"do", "id"})))
        until = self._loop.time() + ANSWER_S
        while not self._carrier.has_left() and self._loop.time() < until:
            with suppress(TimeoutError):
                return await _result(learned, LOOK_S)
        learned.cancel()
        raise RequestError("failed", f"no controller moved for {ANSWER_S:.0f} s", request.id)

    def _subscribe(self, meters_s: float | None) -> None:
        if not self._is_subscribed:
            self._is_subscribed = True
            self._stack.enter_context(self._daemon.bulletin.subscription(self._send_soon))
        if self._meters:
            self._meters.cancel()
            self._meters = None
        if meters_s:
            self._meters = asyncio.create_task(self._send_meters(meters_s))

    def _send_soon(self, event: Event) -> None:
        """Send an event (any thread)."""
        with suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(self._send, event)

    def _send(self, event: Event) -> None:
        """Send an event, unless the client reads too slowly."""
        if self._carrier.unread() > UNREAD:
            self._left_out += 1
            return
        if self._left_out:
            event, self._left_out = replace(event, left_out=self._left_out), 0
        self._carrier.send(protocol.line(event.as_json()))

    async def _send_meters(self, interval_s: float) -> None:
        """Send levels at an interval."""
        while True:
            await self._door.turn()
            self._send(MetersRead(self._daemon.peaks()))
            await asyncio.sleep(interval_s)


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
