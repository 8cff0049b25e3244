"""Notices the end of an audio server, without a request to it.

A client library answers many requests from memory long after its server has ended, and PipeWire's
does not report that end. But the library holds a connection to the server's socket, which the
kernel closes as soon as the server ends, and not before. This module watches that connection. It
makes no other one, which the server might count, refuse or drop. It ignores other sockets of the
library (PipeWire's asks D-Bus for real-time priority).
"""

import os
import select
import socket
import stat
from contextlib import suppress
from pathlib import Path

from stemd.daemon.graph.server_sockets import can_connect, is_server_socket


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
        for descriptor, _ in open_sockets() - before:
            with suppress(OSError):  # another thread closed it
                connection = _same_connection(descriptor)
                path = _peer(connection)
                if is_server_socket(kind, path, name):
                    self._connections.append(connection)
                    self._paths.add(path)
                else:
                    connection.close()

    def has_server_ended(self) -> bool:
        """Whether the server has closed its side of a connection."""
        poll = select.poll()
        for connection in self._connections:
            poll.register(connection, select.POLLRDHUP | select.POLLHUP)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Stop watching, before the library closes its connection, which would stay open."""
        for connection in self._connections:
            connection.close()
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


def _peer(connection: socket.socket) -> str:
    """Return the path of the socket at the other end; empty for other families."""
    if connection.family != socket.AF_UNIX:
        return ""
    with suppress(OSError):  # a listening socket has no other end
        path: str | bytes = connection.getpeername()
        return path if isinstance(path, str) else os.fsdecode(path)
    return ""
