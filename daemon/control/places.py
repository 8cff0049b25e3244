"""Where the control socket is."""

import os
import socket
import warnings
from pathlib import Path

from platformdirs import user_runtime_path

from stemd.daemon.errors import StemdError

SYSTEM_FOLDER = Path("/run/stemd")
"""What systemd makes for the service of the machine."""


def socket_path(wish: str, client_name: str) -> Path:
    """Choose where a daemon makes its control socket.

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
    made_for_unit = os.environ.get("RUNTIME_DIRECTORY")
    folder = Path(made_for_unit) if made_for_unit else runtime_folder()
    return folder / f"{client_name}.socket"


def find_socket(wish: str, client_name: str) -> Path | None:
    """Find where a daemon listens: the user's own, or the machine's where that alone answers.

    Without either it is the only one of the user's, which goes by a name that the configuration had
    before, or that a session manager has given it.

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
    if wish != "auto":
        return expanded("control.socket", wish)
    name = f"{client_name}.socket"
    own, of_machine = runtime_folder() / name, SYSTEM_FOLDER / name
    for path in (own, of_machine):
        if listens(path):
            return path
    others = [path for path in own.parent.glob("*.socket") if listens(path)]
    return others[0] if len(others) == 1 else own


def listens(path: Path) -> bool:
    """Tell whether somebody takes our connections there; one who hangs may."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:  # so many wait already
            return True
        except OSError:
            return False
    return True


def runtime_folder() -> Path:
    """Return stemd's folder in the user's runtime folder.

    Raises
    ------
    StemdError
        There is none.
    """
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
