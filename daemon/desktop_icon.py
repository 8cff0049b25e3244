"""The icon by which programs of the desktop show stemd."""

import os
from pathlib import Path

ICON_FILE = "icons/hicolor/scalable/apps/stemd.svg"
"""Where it is in a folder of XDG_DATA_HOME or XDG_DATA_DIRS."""

GENERIC = "audio-x-generic"
"""An icon that every theme has."""


def icon_name() -> str:
    """Return the name of stemd's icon; where it is not installed, that of a generic one."""
    home = os.environ.get("XDG_DATA_HOME") or Path("~/.local/share").expanduser()
    system = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    folders = (home, *system.split(":"))
    return "stemd" if any((Path(each) / ICON_FILE).exists() for each in folders) else GENERIC
