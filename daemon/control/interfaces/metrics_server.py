"""Serves the metrics over HTTP, for Prometheus."""

import asyncio
import logging
import socket
from contextlib import suppress

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import CollectorRegistry

from stemd.daemon.control.interfaces.listening import cannot_listen
from stemd.daemon.control.interfaces.metrics import Metrics
from stemd.daemon.control.interfaces.metrics_section import MetricsSection
from stemd.daemon.control.interfaces.streams import Crowd, StreamServer
from stemd.daemon.control.pace import Pace
from stemd.daemon.control.steerable import Steerable
from stemd.daemon.errors import StemdError

log = logging.getLogger(__name__)

ANSWER_S = 2.0
"""How long the daemon may take to return its status."""

HEAD_S = 0.5
"""How long the head of a request may take to arrive."""

LONGEST_HEAD = 8192
"""Bytes."""

MAX_CLIENTS = 64
"""With more connections, the oldest one without a request is dropped."""

NO_REQUEST = (asyncio.IncompleteReadError, asyncio.LimitOverrunError)
"""What a connection ends with that brings no request."""

SNAPSHOT_S = 0.25
"""How long the same figures are served."""


class MetricsServer:
    """Answers HTTP requests with the figures of `stemd status`, on its own thread.

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
        self._pace = pace or Pace()
        self._snapshot = _Snapshot(daemon)
        self._crowd = Crowd(MAX_CLIENTS)
        try:
            self._socket = socket.create_server((host, port))
        except (OSError, TypeError, ValueError) as error:
            raise cannot_listen("serve metrics", "metrics", host, port, error) from None
        self.port: int = self._socket.getsockname()[1]
        self._streams = StreamServer(self._socket, self._serve, LONGEST_HEAD, MetricsSection.thread)

    def start(self) -> None:
        """Begin to answer."""
        self._streams.start()

    def close(self) -> None:
        """Stop answering."""
        self._streams.close()
        self._socket.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        with self._crowd.place() as wait_for, suppress(*NO_REQUEST):
            if not wait_for:
                return
            async with asyncio.timeout(HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
            wait_for(False)
            await asyncio.sleep(self._pace.take())
            writer.write(await self._answer(head.partition(b" ")[0]))

    async def _answer(self, method: bytes) -> bytes:
        if method not in (b"GET", b"HEAD"):
            return _page("405 Method Not Allowed", "text/plain", b"GET, please\n")
        try:
            page = _page("200 OK", CONTENT_TYPE_LATEST, await self._snapshot.read())
        except (TimeoutError, StemdError) as error:
            text = f"stemd has no figures now: {str(error) or 'it is busy'}\n"
            page = _page("503 Service Unavailable", "text/plain; charset=utf-8", text.encode())
        except Exception:
            log.exception("metrics")
            page = _page("500 Internal Server Error", "text/plain", b"the log has the details\n")
        return page if method == b"GET" else page.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def _page(status: str, kind: str, body: bytes) -> bytes:
    head = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


class _Snapshot:
    """The metrics as text, made once for requests at about the same time."""

    def __init__(self, daemon: Steerable) -> None:
        self._daemon = daemon
        self._figures = Metrics()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self._figures)
        self._making: asyncio.Task[bytes] | None = None
        self._until = float("-inf")

    async def read(self) -> bytes:
        """Return the text; TimeoutError or StemdError if the daemon does not reply."""
        now = asyncio.get_running_loop().time()
        if self._making is None or (self._making.done() and now >= self._until):
            self._making = asyncio.create_task(self._make())
            self._until = now + SNAPSHOT_S
        return await asyncio.shield(self._making)  # other requests may wait for it too

    async def _make(self) -> bytes:
        async with asyncio.timeout(ANSWER_S):
            self._figures.status = await asyncio.wrap_future(self._daemon.status())
        return generate_latest(self._registry)
