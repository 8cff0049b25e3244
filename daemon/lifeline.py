"""Tells whether an audio server still lives, without asking it anything.

A client library answers many questions from memory long after its server died, and PipeWire's says
nothing when that happens. But whoever joins a server connects to its socket; a connection of our
own to the same socket ends when the server does, and at once.
"""

import os
import select
import socket
import stat
from contextlib import suppress
from pathlib import Path


class Lifeline:
    """Connections to the sockets that a client library has opened.

    Parameters
    ----------
    before : set of (int, int)
        What `open_sockets` said before the library joined the server.
    """

    def __init__(self, before: set[tuple[int, int]]) -> None:
        self._paths = {_server_path(number) for number, _ in open_sockets() - before} - {""}
        self._connections = [connection for path in self._paths if (connection := _connected(path))]

    def is_cut(self) -> bool:
        """Tell whether one of the servers has ended."""
        poll = select.poll()
        for connection in self._connections:
            poll.register(connection, select.POLLRDHUP | select.POLLHUP)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Let go."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def would_hold(self) -> bool:
        """Tell whether there is a server again where they led to."""
        connections = [_connected(path, wait=False) for path in self._paths]
        for connection in connections:
            if connection:
                connection.close()
        return any(connections)


def open_sockets() -> set[tuple[int, int]]:
    """Return the descriptors of this process that are sockets, each with its inode.

    By the number alone a new socket would be taken for one that another thread has just closed.
    """
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            file = os.fstat(int(path.name))
            if stat.S_ISSOCK(file.st_mode):
                found.add((int(path.name), file.st_ino))
    return found


def _server_path(descriptor: int) -> str:
    """Return the path of the socket that a descriptor is connected to, or nothing."""
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
        path = copy.getpeername()
        if copy.family == socket.AF_UNIX and isinstance(path, str):
            return path
    return ""


def _connected(path: str, wait: bool = True) -> socket.socket | None:
    # Where somebody listens and accepts nobody, there is room for some; the next waits for ever.
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    connection.setblocking(wait)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        return None
    return connection
