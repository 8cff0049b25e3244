"""stemd's entry in the menus of a user's desktop, and its icon."""

import re
from importlib.resources import files
from pathlib import Path

from platformdirs import user_data_path

from stemd.daemon.cli.unit_file import UNIT_MODE
from stemd.daemon.desktop_icon import ICON_FILE
from stemd.daemon.errors import StemdError
from stemd.tflite_models.files import write_whole

ENTRY = "applications/stemd.desktop"
"""Where it is in XDG_DATA_HOME."""


def install_entry(program: Path) -> None:
    """Write both where the user's desktop finds them.

    Parameters
    ----------
    program : Path
        What the entry starts.

    Raises
    ------
    StemdError
        They cannot be written.
    """
    source = files("stemd.desktop")
    written = {
        ENTRY: entry_for(program, (source / "stemd.desktop").read_text()).encode(),
        ICON_FILE: (source / "stemd.svg").read_bytes(),
    }
    for name, content in written.items():
        path = user_data_path() / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content, UNIT_MODE)
        except OSError as error:
            raise StemdError(f"cannot write {path}: {error.strerror}; look at it") from None


def uninstall_entry() -> None:
    """Remove both, where they are.

    Raises
    ------
    StemdError
        They cannot be removed.
    """
    for name in (ENTRY, ICON_FILE):
        path = user_data_path() / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StemdError(f"cannot remove {path}: {error.strerror}; look at it") from None


def entry_for(program: Path, text: str) -> str:
    """Return an entry with the path of the program in place of its name."""
    text = re.sub(r"(?m)^TryExec=.*", lambda _: f"TryExec={_escaped(str(program))}", text)
    return re.sub(r"(?m)^Exec=stemd\b", lambda _: f"Exec={_quoted(str(program))}", text)


def _quoted(word: str) -> str:
    """Quote a word of a command; see "The Exec key" of the Desktop Entry Specification."""
    if not re.fullmatch(r"[\w./+,@:=-]+", word, re.ASCII):
        word = '"' + re.sub(r'(["`$\\])', r"\\\1", word) + '"'
    return _escaped(word).replace("%", "%%")


def _escaped(text: str) -> str:
    """Escape a value of type string."""
    return text.replace("\\", "\\\\")
