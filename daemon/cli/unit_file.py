"""The text of stemd's unit for systemd: made for this program, read and written."""

import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from unicodedata import category

from stemd.daemon.errors import StemdError
from stemd.tflite_models.files import read_ordinary, remove_if_empty, write_whole

UNIT_MODE = 0o644
"""Permissions of a unit, as of those that packages bring: every user may read it."""

MOST_BYTES = 1 << 16
"""Of a unit that is read."""


def unit_text(system_wide: bool, user: str, options: Sequence[str] = ()) -> str:
    """Return the text of a unit for this stemd.

    Parameters
    ----------
    system_wide : bool
    user : str
    options : sequence of str
        Of `stemd run`, plain words; for a user's unit only.

    Raises
    ------
    StemdError
        The program's path cannot stand in a unit.
    """
    kind = "system" if system_wide else "user"
    text = (files("stemd.systemd") / f"stemd.{kind}.service").read_text()
    values = {
        "stemd": program(),
        "user": user.replace("%", "%%"),
        "options": "".join(f" {each}" for each in options),
    }
    # In one pass, for a path may hold @user@.
    return re.sub("@(stemd|user|options)@", lambda found: values[found[1]], text)


def program() -> str:
    """Return the command that starts this stemd, for a unit's ExecStart=.

    Raises
    ------
    StemdError
        Its path cannot stand in a unit.
    """
    return exec_start(str(program_path()))


def program_path() -> Path:
    """Return the absolute path of this stemd, without ``..``; a link to it stays a link."""
    path = Path(shutil.which(sys.argv[0]) or Path(sys.executable).with_name("stemd")).absolute()
    return path.parent.resolve() / path.name


def starts_this_stemd(text: str) -> bool:
    """Whether a unit starts this stemd, by whichever path."""
    if f"ExecStart={program()} run" in text:
        return True
    found = re.search(r'^ExecStart="?(/[^"]+?)"? run', text, re.MULTILINE)
    with suppress(OSError):
        return found is not None and program_path().samefile(found[1].replace("%%", "%"))
    return False


def exec_start(path: str) -> str:
    """Return the path of a program as a command of systemd.service(5).

    Raises
    ------
    StemdError
        It has control characters, or is not text: a newline would begin another line of the unit.
    """
    if any(category(each) in ("Cc", "Cs") for each in path):
        raise StemdError(
            f"the path of this program, {path!r}, has characters that a unit cannot hold: install "
            "stemd in another folder"
        )
    if not set(path) & set("\"'\\"):
        return _quoted(path)
    # systemd takes no such name for a program, but for an argument.
    words = ("-c", 'exec "$0" "$@"', path)
    return " ".join(["/bin/sh", *(_quoted(word.replace("$", "$$")) for word in words)])


def _quoted(word: str) -> str:
    """Quote a word where that is needed; see systemd.syntax(7), and systemd.unit(5) about %."""
    word = word.replace("%", "%%")
    if re.fullmatch(r"[\w./+,@:=%-]+", word, re.ASCII):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def read_unit(unit: Path) -> str:
    """Return the text of a unit; empty where there is none.

    Raises
    ------
    OSError
        It cannot be read.
    """
    try:
        return read_ordinary(unit, MOST_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""


def write_unit(unit: Path, text: str) -> None:
    """Write a unit whole or not at all; where that fails, no new folder is left.

    Raises
    ------
    OSError
        It cannot be written.
    """
    missing = [folder for folder in unit.parents if not folder.exists()]
    try:
        unit.parent.mkdir(parents=True, exist_ok=True)
        write_whole(unit, text.encode(), UNIT_MODE)
    except OSError:
        remove_if_empty(*missing)
        raise
