"""The other end of the control socket, for the commands."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from stemd.daemon.control import protocol
from stemd.daemon.errors import StemdError

ANSWER_S = 40.0
"""How long an answer is waited for; longer than the daemon takes to give up."""


class ControlClient:
    """A connection to a daemon that runs.

    Raises
    ------
    StemdError
        None answers there.
    """

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_S)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise StemdError(
                f"no stemd answers at {path}: {error.strerror or error}; start one (stemd run), or "
                "say where it listens (--socket)"
            ) from None
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self._lines.close()
        self._socket.close()

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a request and return its result.

        Raises
        ------
        StemdError
            It was refused, or not answered.
        """
        given = {key: value for key, value in arguments.items() if value is not None}
        try:
            self._socket.sendall(protocol.line({"do": do, **given}))
        except OSError:
            raise _gone() from None
        while "ok" not in (answer := self._read()):
            pass  # an event
        if not answer["ok"]:
            raise StemdError(answer["error"]["message"])
        result: dict[str, Any] = answer["result"]
        return result

    def events(self, meters_s: float | None = None) -> Iterator[dict[str, Any]]:
        """Subscribe; what happens from now on is yielded until the daemon ends."""
        self.ask("subscribe", meters=meters_s)
        self._socket.settimeout(None)
        return self._events()

    def _events(self) -> Iterator[dict[str, Any]]:
        with suppress(StemdError):
            while True:
                yield self._read()

    def _read(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except OSError:
            raise StemdError("stemd does not answer: it may hang (stemd doctor)") from None
        if not line:
            raise _gone()
        data: dict[str, Any] = json.loads(line)
        return data


def _gone() -> StemdError:
    return StemdError("stemd has ended meanwhile")
