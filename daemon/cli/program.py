"""Names stemd in what it prints as the user has to type it."""

import re
import sys
from functools import cache
from pathlib import Path
from shlex import quote
from shutil import which

NAME = "stemd"


def as_typed(text: str) -> str:
    """Return a text whose commands of stemd's work in the user's shell.

    Where the shell does not find `stemd`, as after `make run`, they get the path by which it was
    started.
    """
    return _commands().sub(lambda _: _program(), text)


@cache
def _program() -> str:
    started = sys.argv[0]
    return NAME if which(NAME) or Path(started).name != NAME else quote(started)


@cache
def _commands() -> re.Pattern[str]:
    from stemd.daemon.cli.commands import COMMANDS

    return re.compile(rf"(?<![\w/.~-]){NAME}(?= (?:-v )?(?:{'|'.join(COMMANDS)})\b)")
