"""Paths of the control socket."""

import os
import socket
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from platformdirs import user_runtime_path

from stemd.daemon.errors import ConfigError, StemdError

SYSTEM_FOLDER = Path("/run/stemd")
"""The folder that systemd makes for the system-wide service."""


USERS_FOLDER = Path("/run/user")
"""What logind makes for each user, by number."""


def socket_path(wish: str, client_name: str) -> Path:
    """Choose where a daemon makes its control socket.

    Parameters
    ----------
    wish : str
        ``auto`` or the path.
    client_name : str
        The daemon's name in its server's graph: with ``auto``, two daemons have two sockets.

    Raises
    ------
    StemdError
        The user has no folder for it.
    """
    if wish != "auto":
        return expanded("control.socket", wish)
    made_for_unit = os.environ.get("RUNTIME_DIRECTORY")
    folder = Path(made_for_unit) if made_for_unit else runtime_folder()
    return folder / f"{client_name}.socket"


def find_socket(wish: str, client_name: str) -> Path | None:
    """Return where a daemon of this configuration listens; None if it has no socket (``off``).

    Raises
    ------
    StemdError
        The user has no folder for it.
    """
    if wish == "off":
        return None
    return find_auto(client_name) if wish == "auto" else expanded("control.socket", wish)


def find_auto(client_name: str) -> Path:
    """Return where a daemon listens: the user's, or the system-wide one if only that answers.

    If neither answers and the user has one other socket, return that: its daemon has an earlier
    name, or one that a session manager gave it. With sudo, the user's own is looked for too.

    Raises
    ------
    StemdError
        The user has no folder for sockets.
    """
    name = f"{client_name}.socket"
    own = runtime_folder() / name
    for path in (own, SYSTEM_FOLDER / name, *_sockets_before_sudo(name)):
        if listens(path):
            return path
    others = [path for path in own.parent.glob("*.socket") if listens(path)]
    return others[0] if len(others) == 1 else own


def _sockets_before_sudo(name: str) -> Iterator[Path]:
    """Yield the socket of the user who called sudo; only root may steer another user's daemon."""
    user = os.environ.get("SUDO_UID", "")
    if os.getuid() == 0 and user.isdecimal():
        yield USERS_FOLDER / user / "stemd" / name


def listens(path: Path) -> bool:
    """Whether a program accepts connections there, even if it hangs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:  # its backlog is full
            return True
        except OSError:
            return False
    return True


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """Return the process and the user at the other end of a Unix socket, by number."""
    size = struct.calcsize("3i")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    process, user, _ = struct.unpack("3i", credentials)
    return process, user


def runtime_folder() -> Path:
    """Return stemd's folder in the user's runtime folder.

    Raises
    ------
    StemdError
        There is none.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # one that is not the user's is not taken
            folder = user_runtime_path("stemd")
        if problem := problem_with(folder):  # which platformdirs looks for since 4.14 only
            raise OSError(problem)
    except OSError as error:
        raise StemdError(
            f"there is no folder for a control socket: {error}; set XDG_RUNTIME_DIR, or give a "
            "path (control.socket)"
        ) from None
    return folder


def problem_with(folder: Path) -> str:
    """Return why other users could replace files in a folder; empty if they cannot.

    It and all folders above it must belong to the user or to root, and only their owner may write
    to them, or, as in /tmp, remove what is there. The same goes for where symbolic links lead.

    Parameters
    ----------
    folder : Path
        It and folders above it may be missing.

    Raises
    ------
    OSError
        The folder cannot be examined.
    """
    folder = folder.absolute()
    with suppress(FileNotFoundError):
        folder.stat()  # links that go round in circles are an error
    for each in (*reversed(folder.parents), folder):
        try:
            info = each.lstat()
        except FileNotFoundError:
            break
        if info.st_uid not in (os.getuid(), 0):
            return f"{each} belongs to another user ({info.st_uid})"
        if stat.S_ISLNK(info.st_mode):
            if problem := problem_with(each.parent / each.readlink()):
                return problem
        elif info.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not info.st_mode & stat.S_ISVTX:
            mode = stat.S_IMODE(info.st_mode)
            return f"others may write to {each} (mode {mode:04o}; chmod go-w ends that)"
    return ""


def expanded(key: str, path: str) -> Path:
    """Return the path with the home folder in place of ``~``.

    Raises
    ------
    ConfigError
        There is no home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(
            f"{key}: there is no home folder for {path!r}; write an absolute path"
        ) from None
