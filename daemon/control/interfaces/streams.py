"""Serving the connections of a listening socket, on a thread of its own."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeAlias, cast

from stemd.daemon.engine.scheduling import steering_thread

BACKLOG = 1024
"""Connections that may wait to be accepted; Linux cuts it down to its own limit."""

CLOSE_S = 5.0
"""How long a client may leave the last of its answers unread before it is dropped."""

Handler: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Crowd:
    """Bounds the connections of a server (the loop's thread).

    Parameters
    ----------
    most : int
        With more connections, the oldest one that is waited for is dropped.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._is_waited_for: dict[asyncio.Task[None], bool] = {}  # the oldest first

    @contextmanager
    def place(self) -> Iterator[Callable[[bool], None] | None]:
        """Hold a place for this task's connection.

        Yields
        ------
        callable or None
            Takes whether the client is waited for, which it is at first. None: there is no place.
        """
        client = cast("asyncio.Task[None]", asyncio.current_task())
        if len(self._is_waited_for) >= self._most and not self._drop_oldest():
            yield None
            return
        self._is_waited_for[client] = True
        try:
            yield partial(self._is_waited_for.__setitem__, client)
        finally:
            self._is_waited_for.pop(client, None)

    def _drop_oldest(self) -> bool:
        """Drop the oldest connection that is waited for; False if there is none."""
        oldest = next((each for each, waited in self._is_waited_for.items() if waited), None)
        if oldest is None:
            return False
        del self._is_waited_for[oldest]
        oldest.cancel()
        return True


class StreamServer:
    """Accepts connections until it is closed.

    Parameters
    ----------
    listening : socket.socket
        It stays the caller's, to be closed last.
    handle : callable
        Serves one connection, which is closed when it returns; cancelled when the server is closed.
    limit : int
        Bytes that a connection's reader holds at most while it looks for the end of something.
    name : str
        Of the thread.

    Attributes
    ----------
    loop : asyncio.AbstractEventLoop
    clients : dict of asyncio.Task
        A task for each connection, the oldest first (the loop's thread).
    """

    def __init__(self, listening: socket.socket, handle: Handler, limit: int, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.clients: dict[asyncio.Task[None], None] = {}
        self._listening = listening
        self._handle = handle
        self._limit = limit
        self._ending = asyncio.Event()
        self._thread = steering_thread(self._run, name)

    def start(self) -> None:
        """Begin to accept."""
        self._thread.start()

    def close(self) -> None:
        """Drop all clients, and accept no more."""
        self.loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self.loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._accept())

    async def _accept(self) -> None:
        server = await asyncio.start_server(
            self._serve, sock=self._listening, limit=self._limit, backlog=BACKLOG
        )
        await self._ending.wait()
        # One who was accepted at the last moment is still on the way to `_serve`: cancelled before
        # its first line, or without the server, it would never close its connection.
        self.loop.remove_reader(self._listening)
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for client in self.clients:
                client.cancel()
            await asyncio.wait(tasks)
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = cast("asyncio.Task[None]", asyncio.current_task())
        self.clients[client] = None
        try:
            with suppress(ConnectionError, TimeoutError, asyncio.CancelledError):
                if not self._ending.is_set():
                    await self._handle(reader, writer)
                writer.close()
                async with asyncio.timeout(CLOSE_S):
                    await writer.wait_closed()
        finally:
            del self.clients[client]
            writer.transport.abort()  # else it stays open as long as something is unread
