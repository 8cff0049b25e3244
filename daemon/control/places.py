"""Where the control socket is."""

import os
import warnings
from pathlib import Path

from platformdirs import user_runtime_path

from stemd.daemon.errors import StemdError

SYSTEM_FOLDER = Path("/run/stemd")
"""What systemd makes for the service of the machine."""


def socket_path(wish: str, client_name: str) -> Path:
    """Find the place for a daemon's control socket.

    Parameters
    ----------
    wish : str
        ``auto`` or the path.
    client_name : str
        The daemon's in its server's graph: in ``auto``, two daemons have two sockets.

    Raises
    ------
    StemdError
        There is no such place.
    """
    if wish != "auto":
        return expanded("control.socket", wish)
    return runtime_folder() / f"{client_name}.socket"


def find_socket(wish: str, client_name: str) -> Path | None:
    """Find where a daemon listens: the user's own, or the machine's where that alone is there.

    Returns
    -------
    Path or None
        None where the configuration wants none (``off``).

    Raises
    ------
    StemdError
        It cannot be told.
    """
    if wish == "off":
        return None
    own = socket_path(wish, client_name)
    of_machine = SYSTEM_FOLDER / f"{client_name}.socket"
    if wish == "auto" and not is_there(own) and is_there(of_machine):
        return of_machine
    return own


def is_there(path: Path) -> bool:
    """Tell whether we see it: what is in a folder that is closed to us is not there."""
    try:
        return path.exists()
    except PermissionError:
        return False


def runtime_folder() -> Path:
    """Return the folder that systemd made for the unit, or one in the user's runtime folder."""
    if made := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(made)
    try:
        with warnings.catch_warnings(action="ignore"):  # one that is not the user's is not taken
            return user_runtime_path("stemd")
    except OSError as error:
        raise StemdError(
            f"there is no place for a control socket: {error}; set XDG_RUNTIME_DIR, or name one "
            "(control.socket)"
        ) from None


def expanded(key: str, path: str) -> Path:
    """Put a home folder in the place of ``~``.

    Raises
    ------
    StemdError
        There is none.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise StemdError(
            f"{key}: there is no home folder for {path!r}; write the whole path"
        ) from None
