"""The section ``control`` of the configuration: the control socket."""

import logging
import os
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field

from stemd.daemon.control.interfaces.interface import Interface, Steering, Target
from stemd.daemon.control.socket_paths import listens, socket_path
from stemd.daemon.errors import StemdError
from stemd.daemon.lean import lean_imports
from stemd.daemon.sections import Effect, is_absolute, is_one_line, off_as_text

log = logging.getLogger(__name__)


def _is_place(path: str) -> str:
    return path if path in ("auto", "off") else is_absolute(path)


class ControlSection(Interface):
    """How stemd is steered while it runs."""

    key: ClassVar[str] = "control.socket"
    thread: ClassVar[str] = "stemd-control"

    socket: Annotated[
        str,
        Field(min_length=1, max_length=100),
        BeforeValidator(off_as_text),
        AfterValidator(is_one_line),
        AfterValidator(_is_place),
        Effect.AT_START,
    ] = "auto"
    """auto: in the user's runtime folder; off: no socket; or a path."""

    state_file: Annotated[
        Annotated[
            str,
            Field(min_length=1, max_length=1000),
            AfterValidator(is_one_line),
            AfterValidator(is_absolute),
        ]
        | None,
        Effect.AT_START,
    ] = None
    """Where mixer, bypass, sound device and learned MIDI controllers are saved; null: nowhere."""

    @property
    def is_wanted(self) -> bool:
        """Whether the configuration wants a socket."""
        return self.socket != "off"

    def make(self, target: Target) -> Steering:
        """Listen at the path; with ``auto``, at another path if a stemd already listens there."""
        with lean_imports():  # asyncio would load OpenSSL
            from stemd.daemon.control.interfaces.control_server import ControlServer

        def server(path: Path, follows_name: bool) -> ControlServer:
            return ControlServer(path, target.daemon, target.pace, follows_name)

        path = socket_path(self.socket, target.client_name)
        if self.socket != "auto":
            return server(path, follows_name=False)
        try:
            return server(path, follows_name=True)
        except StemdError:  # this one moves when its audio server has named it
            if listens(path):
                log.warning(
                    "another stemd runs already, and is steered by --socket %s; unless you want "
                    "both, stop one of them: stemd stop --socket %s",
                    path,
                    path,
                )
            return server(path.with_name(f"{target.client_name}-{os.getpid()}.socket"), True)
