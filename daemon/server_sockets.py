"""The Unix sockets on which JACK and PipeWire servers listen: their names, and who listens."""

import os
import re
import socket
from pathlib import PurePath


def is_server_socket(kind: str, path: str, name: str | None = None) -> bool:
    """Whether a server of this kind listens on a socket of this path.

    Only the last part of the path counts: a server in another container bound it elsewhere.

    Parameters
    ----------
    kind : str
        "jack" or "pipewire".
    path : str
    name : str, optional
        Of the server, where one was asked for.
    """
    file = PurePath(path).name
    if kind == "jack":  # JACK2: jack_SERVER_USER_0; JACK1: SERVER/jack_0 and SERVER/jack_ack_0
        return file.startswith("jack_")
    return file.startswith("pipewire-") or file in _pipewire_names(name)


def can_connect(path: str) -> bool:
    """Whether a connection to this socket is accepted at once."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # Where nothing accepts, there is room for some connections; the next would wait for ever.
        probe.setblocking(False)
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def _pipewire_names(name: str | None) -> set[str]:
    """Return the socket names that PipeWire's library tries; 1.0 and later take a list."""
    wished = os.environ.get("PIPEWIRE_REMOTE") or name or ""
    names = {PurePath(each).name for each in re.split(r'[\s,"\[\]]+', wished)} - {""}
    return names | {f"{each}-manager" for each in names}
