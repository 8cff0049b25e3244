"""One HTTP connection, which becomes a WebSocket where it asks for that.

The package websockets reads and writes both; the connection itself is asyncio's.
"""

import asyncio
from collections import deque

from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from stemd.daemon.control.interfaces.conversation import WRITE_S, Carrier
from stemd.daemon.control.interfaces.door import Door
from stemd.daemon.control.protocol import LONGEST_LINE

CHUNK = 1024
"""Bytes that are read at once: at most so many frames, of 6 bytes, get an answer in one turn."""


class WebSocket(Carrier):
    """One connection (the loop's thread).

    Parameters
    ----------
    reader : asyncio.StreamReader
    writer : asyncio.StreamWriter
    door : Door
        What a client sends besides messages, such as pings, takes turns too.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, door: Door
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._door = door
        self._protocol = ServerProtocol(max_size=LONGEST_LINE)
        self._received: deque[Request | Response | Frame] = deque()
        self._parts: list[bytes] = []

    async def request(self) -> Request | None:
        """Return the request with which it begins; None if it is no HTTP."""
        request = await self._next()
        return request if isinstance(request, Request) else None

    def accept(self, request: Request) -> bool:
        """Go over to messages, or refuse what is no proper wish for it; return which."""
        self.respond(self._protocol.accept(request))
        return self._protocol.state is OPEN

    def respond(self, response: Response) -> None:
        """Answer the request."""
        self._protocol.send_response(response)
        self._flush()

    async def read(self) -> bytes:
        """Return the next message; empty at the end."""
        while frame := await self._next():
            match frame:
                case Frame(opcode=Opcode.TEXT | Opcode.BINARY | Opcode.CONT):
                    self._parts.append(bytes(frame.data))
                    if frame.fin:
                        message, self._parts = b"".join(self._parts), []
                        return message or b" "
            await self._door.turn()
        return b""

    def send(self, message: bytes) -> None:
        """Send a message."""
        if self._protocol.state is OPEN:
            self._protocol.send_text(message.rstrip())
            self._flush()

    async def drain(self) -> None:
        """Wait until there is room for more."""
        await self._writer.drain()

    def unread(self) -> int:
        """Return how many bytes the client has not read."""
        return self._writer.transport.get_write_buffer_size()

    def has_left(self) -> bool:
        """Whether the client has closed its side."""
        return self._reader.at_eof()

    async def _next(self) -> Request | Response | Frame | None:
        """Return the next part of what the client sends; None at the end."""
        while not self._received:
            if self._protocol.close_expected():
                return None
            data = await self._reader.read(CHUNK)
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            self._received.extend(self._protocol.events_received())
            self._flush()
            if not data:
                break
            async with asyncio.timeout(WRITE_S):  # a client that only pings must read the answers
                await self.drain()
        return self._received.popleft() if self._received else None

    def _flush(self) -> None:
        """Write what there is; its end is an empty part, after which the connection is closed."""
        self._writer.write(b"".join(self._protocol.data_to_send()))
