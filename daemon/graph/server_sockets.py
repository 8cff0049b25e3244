"""The Unix sockets of JACK and PipeWire servers: their names, and which servers listen."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path, PurePath

RUNTIME_FOLDERS = ("PIPEWIRE_RUNTIME_DIR", "XDG_RUNTIME_DIR", "USERPROFILE")
"""Variables with the folder of PipeWire's socket; its library uses the first that is set."""

USERS_FOLDER = Path("/run/user")
"""Where systemd makes each user a runtime folder."""

ACCEPTS_CONNECTIONS = 0x10000
"""A flag in /proc/net/unix."""


def is_server_socket(kind: str, path: str, name: str | None = None) -> bool:
    """Whether a server of this kind listens on a socket of this path.

    Only the last part of the path counts: a server in another container has it in another folder.

    Parameters
    ----------
    kind : str
        "jack" or "pipewire".
    path : str
    name : str, optional
        The server's name, if it was chosen by name.
    """
    file = PurePath(path).name
    if kind == "jack":  # JACK2: jack_SERVER_USER_0; JACK1: SERVER/jack_0 and SERVER/jack_ack_0
        return file.startswith("jack_")
    return file.startswith("pipewire-") or file in _pipewire_names(name)


def is_bus_socket(path: str) -> bool:
    """Whether a socket of this path is probably a D-Bus's: every client library may open one."""
    return "bus" in PurePath(path.lstrip("\0")).name


def can_connect(path: str) -> bool:
    """Whether a connection to this socket is accepted at once."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A server that does not accept has room for some connections; the next one would block.
        probe.setblocking(False)
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def _pipewire_names(name: str | None) -> set[str]:
    """Return the socket names that PipeWire's library tries; since 1.0 there may be several."""
    wished = os.environ.get("PIPEWIRE_REMOTE") or name or ""
    names = {PurePath(each).name for each in re.split(r'[\s,"\[\]]+', wished)} - {""}
    return names | {f"{each}-manager" for each in names}


@dataclass(frozen=True)
class Listener:
    """A server that listens on a socket.

    Attributes
    ----------
    kind : str
        "jack" or "pipewire".
    name : str
        The name that ``jackd -n`` or ``PIPEWIRE_REMOTE`` takes.
    user : int
        The number of its owner.
    """

    kind: str
    name: str
    user: int


def listeners() -> list[Listener]:
    """Return the servers of all users that listen in this container, by their sockets' paths.

    No connection is made to them.
    """
    paths = _listening_paths()
    found = [*_jack_listeners(paths), *_pipewire_listeners(paths)]
    return sorted(set(found), key=lambda each: (each.kind, each.user, each.name))


def pipewire_accepts(name: str | None = None) -> bool:
    """Whether a PipeWire accepts connections where its library looks for it."""
    names = _pipewire_names(name) or {"pipewire-0"}
    remote = os.environ.get("PIPEWIRE_REMOTE") or name or ""
    paths = [str(Path(folder) / each) for folder in _pipewire_folders() for each in names]
    return any(can_connect(path) for path in [*paths, *re.findall(r'/[^\s,"\[\]]+', remote)])


def adopt_runtime_folder() -> None:
    """Let PipeWire's library find its socket where XDG_RUNTIME_DIR is not set, as after `su`."""
    folder = USERS_FOLDER / str(os.getuid())
    with suppress(OSError):
        if not set(RUNTIME_FOLDERS) & os.environ.keys() and folder.stat().st_uid == os.getuid():
            os.environ["XDG_RUNTIME_DIR"] = str(folder)


def _pipewire_folders() -> list[str]:
    """Return the folders where PipeWire's library looks for the socket."""
    own = next((os.environ[key] for key in RUNTIME_FOLDERS if key in os.environ), None)
    return [each for each in (own, "/run/pipewire") if each]


def _listening_paths() -> list[str]:
    """Return the paths of all Unix sockets that accept connections; see proc_net(5)."""
    paths = []
    with suppress(OSError):
        for line in Path("/proc/net/unix").read_text(errors="replace").splitlines()[1:]:
            fields = line.split(maxsplit=7)
            if len(fields) == 8 and int(fields[3], 16) & ACCEPTS_CONNECTIONS:
                paths.append(fields[7])
    return paths


def _jack_listeners(paths: list[str]) -> Iterator[Listener]:
    for path in paths:
        if match := re.fullmatch(r"(.*)/jack_(.+)_(\d+)_0", path):  # JACK2
            folder, name, user = match.groups()
            # Its clients listen on such sockets too; each server has a client named freewheel.
            if list(Path(folder).glob(f"*jack_sem.{user}_{escape(name)}_freewheel")):
                yield Listener("jack", name, int(user))
        elif match := re.fullmatch(r".*/jack-(\d+)/([^/]+)/jack_0", path):  # JACK1
            yield Listener("jack", match[2], int(match[1]))


def _pipewire_listeners(paths: list[str]) -> Iterator[Listener]:
    for path in map(PurePath, paths):
        if path.name.startswith("pipewire-") and not path.name.endswith("-manager"):
            if match := re.fullmatch(r"/run/user/(\d+)", str(path.parent)):
                yield Listener("pipewire", path.name, int(match[1]))
            else:
                with suppress(OSError):
                    yield Listener("pipewire", path.name, Path(path).stat().st_uid)
