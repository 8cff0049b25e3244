"""Notices the end of an audio server, without a request to it.

A client library answers many requests from memory long after its server has ended, and PipeWire's
does not report that end. But the library holds a connection to the server's socket, which the
kernel closes as soon as the server ends, and not before. This module watches that connection. It
makes no other one, which the server might count, refuse or drop. It ignores other sockets of the
library (PipeWire's asks D-Bus for real-time priority).

The module knows the server's connection by its path. Where no connection has such a path, as
through some proxies, the server counts as ended once all that may be its connection have ended.
"""

import logging
import os
import select
import socket
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from stemd.daemon.graph.server_sockets import can_connect, is_bus_socket, is_server_socket

log = logging.getLogger(__name__)


class ServerWatch:
    """Watches the connections that a client library has opened to its server.

    Parameters
    ----------
    before : set of (int, int)
        What `open_sockets` returned before the library connected to the server.
    kind : str
        "jack" or "pipewire": the kind of server that the library reaches.
    name : str, optional
        The server's name, if it was chosen by name.
    """

    def __init__(self, before: set[tuple[int, int]], kind: str, name: str | None = None) -> None:
        self._connections: list[socket.socket] = []
        self._paths: set[str] = set()
        others: list[socket.socket] = []
        for descriptor, _ in open_sockets() - before:
            with suppress(OSError):  # another thread closed it
                connection = _same_connection(descriptor)
                path = _peer(connection)
                if is_server_socket(kind, path, name):
                    self._connections.append(connection)
                    self._paths.add(path)
                elif not path or is_bus_socket(path):
                    connection.close()
                else:
                    others.append(connection)
        self._is_certain = bool(self._connections)
        if self._is_certain:
            _close(others)
        else:
            self._connections = others
            log.warning(
                "stemd does not recognise its connection to the server, and may not notice when "
                "the server ends: restart stemd after the server"
            )

    def has_server_ended(self) -> bool:
        """Whether the server has closed its side of a connection; of all, if it is not certain."""
        poll = select.poll()
        for connection in self._connections:
            poll.register(connection, select.POLLRDHUP | select.POLLHUP)
        ended = len(poll.poll(0))
        return ended >= (1 if self._is_certain else max(len(self._connections), 1))

    def close(self) -> None:
        """Stop watching, before the library closes its connection, which would stay open."""
        _close(self._connections)
        self._connections.clear()

    def accepts_again(self) -> bool:
        """Whether a server accepts connections again where this one did."""
        return any(can_connect(path) for path in self._paths)


def open_sockets() -> set[tuple[int, int]]:
    """Return the descriptors of this process that are sockets, each with its inode.

    The number alone does not distinguish a new socket from one that another thread has closed.
    """
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            file = os.fstat(int(path.name))
            if stat.S_ISSOCK(file.st_mode):
                found.add((int(path.name), file.st_ino))
    return found


def _same_connection(descriptor: int) -> socket.socket:
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def _close(connections: Iterable[socket.socket]) -> None:
    for connection in connections:
        connection.close()


def _peer(connection: socket.socket) -> str:
    """Return the path of the socket at the other end; empty for other families, and without one."""
    if connection.family != socket.AF_UNIX:
        return ""
    with suppress(OSError):  # a listening socket has no other end
        path: str | bytes = connection.getpeername()
        return path if isinstance(path, str) else os.fsdecode(path)
    return ""
