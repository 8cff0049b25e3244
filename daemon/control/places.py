"""Where the control socket is."""

import os
import warnings
from pathlib import Path

from platformdirs import user_runtime_path


def socket_path(wish: str, client_name: str) -> Path | None:
    """Find the place of a daemon's control socket.

    Parameters
    ----------
    wish : str
        ``auto``, ``off``, or the path.
    client_name : str
        The daemon's in its server's graph: in ``auto``, two daemons have two sockets.

    Returns
    -------
    Path or None
        None where there is to be none.
    """
    if wish == "off":
        return None
    if wish != "auto":
        return Path(wish).expanduser()
    return runtime_folder() / f"{client_name}.socket"


def runtime_folder() -> Path:
    """Return the folder that systemd made for the unit, or one in the user's runtime folder."""
    made = os.environ.get("RUNTIME_DIRECTORY")
    with warnings.catch_warnings(action="ignore"):  # a folder that is not the user's is not taken
        return Path(made) if made else user_runtime_path("stemd")
