"""A client of the control socket, for the commands and for other programs."""

import json
import os
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from select import select
from time import monotonic, sleep
from typing import Any, Self, TypeVar

from pydantic import TypeAdapter

from stemd.daemon.control import protocol
from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.events import BY_NAME, Event
from stemd.daemon.control.known_keys import known
from stemd.daemon.control.mixer import Strip
from stemd.daemon.control.replies import (
    Bypassed,
    Device,
    JoinedStatus,
    Page,
    Recording,
    Reloaded,
    Status,
)
from stemd.daemon.control.socket_paths import find_auto, peer_of
from stemd.daemon.errors import StemdError
from stemd.daemon.presets import PresetName
from stemd.daemon.sound_device import DeviceMode

NAME = "stemd"
"""The default name of the daemon's client."""

LONGEST_ANSWER = 1 << 20
"""Bytes."""

ANSWER_S = 40.0
"""How long to wait for a reply; longer than the daemon takes to give up."""


CONNECT_S, CONNECT_POLL_S = 5.0, 0.02
"""How long, and how often, to try to connect while the daemon's backlog is full."""


Read = TypeVar("Read")


@contextmanager
def _reading(answer: dict[str, Any]) -> Iterator[None]:
    """Read a reply; if the daemon has another version, it may have other keys.

    Raises
    ------
    StemdError
        The keys or values of the reply are not those of this version.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        version = f" ({answer['version']})" if "version" in answer else ""
        raise StemdError(
            f"the stemd that runs is of another version{version} than this command: restart it"
        ) from None


def _read(kind: type[Read], answer: dict[str, Any]) -> Read:
    with _reading(answer):
        read: Read = _validated(kind, {key: answer[key] for key in kind.__annotations__})
    return read


def read_status(answer: dict[str, Any]) -> Status:
    """Read the reply to ``status``; keys of a later version are ignored.

    Raises
    ------
    KeyError, AttributeError, ValidationError
        A key is missing, or a value is wrong.
    """
    kind = Status if answer.get("server") is None else JoinedStatus
    mixer = {stem: known(Strip, strip) for stem, strip in answer["mixer"].items()}
    read: Status = _validated(kind, {**answer, "mixer": mixer})
    return read


def _validated(kind: type[Any], answer: dict[str, Any]) -> Any:
    if kind not in _validators:
        _validators[kind] = TypeAdapter(kind)
    return _validators[kind].validate_python(answer)


_validators: dict[type, TypeAdapter[Any]] = {}
"""For the kinds of reply that were read: making one takes milliseconds."""


def _read_event(data: dict[str, Any]) -> Event | None:
    """Read an event; None if only a later version knows it."""
    with _reading(data):
        kind = BY_NAME.get(data["event"])
        event: Event | None = _validated(kind, data) if kind else None
    return event


END_S = 5.0
"""How long to wait for the process of a daemon that has closed its sockets."""


class NoAnswerError(StemdError):
    """The connection cannot be used any more."""


class EndedError(NoAnswerError):
    """The daemon has closed the connection."""


def _process_of(connection: socket.socket, stack: ExitStack) -> int | None:
    """Open the process at the other end; the descriptor can be read once it has ended.

    Return None if it is this process, or belongs to another container or user.
    """
    number, _ = peer_of(connection)
    if number in (0, os.getpid()):
        return None
    try:
        process = os.pidfd_open(number)
    except OSError:
        return None
    stack.callback(os.close, process)
    return process


def _connect(connection: socket.socket, path: Path) -> None:
    """Connect; wait while the daemon's backlog is full."""
    until = monotonic() + CONNECT_S
    while True:
        try:
            connection.connect(str(path))
        except BlockingIOError:  # for Unix sockets, connecting never waits
            if monotonic() >= until:
                raise StemdError(
                    f"stemd is busy: more clients than it can accept want to connect to {path}; "
                    "close some, or try again"
                ) from None
            sleep(CONNECT_POLL_S)
        else:
            return


def _refuse_stranger(connection: socket.socket, path: Path) -> None:
    """Raise if the daemon belongs to another user; root may steer any daemon."""
    _, user = peer_of(connection)
    if os.getuid() not in (0, user) and user != 0:
        raise StemdError(
            f"what listens at {path} belongs to another user ({user}): give the path of your "
            "own stemd's socket (--socket)"
        )


class ControlClient:
    """A connection to a running daemon, for one thread.

    Every request raises `StemdError` if the daemon refuses it or has another version, and
    `NoAnswerError`, a kind of `StemdError`, if the daemon does not reply.

    Parameters
    ----------
    path : Path, optional
        Path of its control socket; by default that of a daemon with the default name.
    patience_s : float
        How long to wait for each reply.

    Raises
    ------
    StemdError
        No daemon answers there.
    """

    def __init__(self, path: Path | None = None, patience_s: float = ANSWER_S) -> None:
        path = path or find_auto(NAME)
        self._path = path
        self._events: deque[dict[str, Any]] = deque()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(patience_s)
        try:
            _connect(self._socket, path)
            _refuse_stranger(self._socket, path)
        except StemdError:
            self._socket.close()
            raise
        except OSError as error:
            self._socket.close()
            raise StemdError(
                f"no stemd answers at {path}: {error.strerror or error}; start one (stemd run), or "
                "give the path of its socket (--socket)"
            ) from None
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self._socket.close()

    def status(self) -> Status:
        """Return the state of the daemon; a `JoinedStatus` while there is an audio server."""
        answer = self.ask("status")
        with _reading(answer):
            return read_status(answer)

    def set(
        self,
        stem: str,
        gain: float | None = None,
        mute: bool | None = None,
        solo: bool | None = None,
    ) -> Strip:
        """Change a stem's gain, mute or solo; return all three. Those that are None stay.

        Parameters
        ----------
        stem : str
        gain : float, optional
            In dB, from `mixer.OFF_DB` (silence) to `mixer.MAX_DB`.
        mute, solo : bool, optional
        """
        return _read(Strip, self.ask("set", stem=stem, gain=gain, mute=mute, solo=solo))

    def bypass(self, on: bool | None = None) -> bool:
        """Switch bypass on or off, for None to the other state; return whether it is on then."""
        return _read(Bypassed, self.ask("bypass", on=on)).on

    def device(self, mode: DeviceMode | None = None) -> Device:
        """Begin to be a sound device, or none; for None, change nothing; return what there is."""
        return _read(Device, self.ask("device", mode=mode))

    def record(self, on: bool | None = None, **how: Any) -> Recording:
        """Begin or end a recording, for None the other of the two; return what is recorded then.

        Parameters
        ----------
        on : bool, optional
        **how
            See `RecordWish`.
        """
        return _read(Recording, self.ask("record", on=on, **how))

    def learn(
        self, does: str, stem: str | None = None, fine: bool = False, toggles: bool = False
    ) -> Binding:
        """Bind the next MIDI controller that moves, and return its binding.

        Parameters
        ----------
        does : str
            "gain", "mute", "solo", "bypass" or "record".
        stem : str, optional
            Not for "bypass" and "record".
        fine : bool
            A gain of 14 bits.
        toggles : bool
            Each press of the button switches to the other state.
        """
        return _read(Binding, self.ask("learn", does=does, stem=stem, fine=fine, toggles=toggles))

    def reload(self, preset: PresetName | None = None) -> Reloaded:
        """Let the daemon read its configuration again; return which keys differ.

        Parameters
        ----------
        preset : str, optional
            Instead of the one in the configuration, until the next reload.
        """
        return _read(Reloaded, self.ask("reload", preset=preset))

    def page_address(self) -> str:
        """Return the address of the page on the web, with its password."""
        return _read(Page, self.ask("web")).address

    def stop(self) -> None:
        """Let the daemon end, and wait for its end; the connection cannot be used afterwards."""
        self.ask("stop")
        self.wait_for_end()

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send any request of docs/control.md and return its result as JSON has it.

        Raises
        ------
        NoAnswerError
            It was not answered.
        StemdError
            It was refused.
        """
        given = {key: value for key, value in arguments.items() if value is not None}
        with suppress(OSError):  # its last words, if any, are read below
            self._socket.sendall(protocol.line({"do": do, **given}))
        while "ok" not in (answer := self._read()):
            self._events.append(answer)
        match answer:
            case {"ok": True, "result": dict() as result}:
                return result
            case {"ok": False, "error": {"message": str() as message}}:
                raise StemdError(*message.split("\n"))
        raise self._no_stemd()

    def events(self, meters_s: float | None = None) -> Iterator[Event]:
        """Subscribe; return an iterator of the events from now on, until the daemon ends.

        Events that only a later version knows are left out; `listen` has them too.

        Parameters
        ----------
        meters_s : float, optional
            Seconds from one `MetersRead` to the next; None: without them.
        """
        return filter(None, map(_read_event, self.listen(meters_s)))

    def listen(self, meters_s: float | None = None) -> Iterator[dict[str, Any]]:
        """Do as `events`, and return each event of docs/control.md as JSON has it."""
        self.ask("subscribe", meters=meters_s)
        self._socket.settimeout(None)
        return self._follow()

    def wait_for_end(self) -> None:
        """Wait until the daemon has closed the connection, and then for its process.

        Raises
        ------
        NoAnswerError
            It has not closed the connection within the time for an answer.
        """
        with ExitStack() as stack:
            process = _process_of(self._socket, stack)
            for _ in self._follow():
                pass
            if process is not None:
                select([process], [], [], END_S)

    def _follow(self) -> Iterator[dict[str, Any]]:
        with suppress(EndedError):
            while True:
                yield self._events.popleft() if self._events else self._read()

    def _read(self) -> dict[str, Any]:
        try:
            line = self._lines.readline(LONGEST_ANSWER)
            data = json.loads(line) if line else None
        except TimeoutError:
            raise NoAnswerError(
                "stemd does not answer: it may hang; another start helps "
                "(systemctl --user restart stemd, where it is a service), and its log may say why"
            ) from None
        except OSError:
            data = None
        except (ValueError, RecursionError):
            data = ()
        if data is None:
            raise EndedError("stemd has ended meanwhile")
        if not isinstance(data, dict):
            raise self._no_stemd()
        return data

    def _no_stemd(self) -> NoAnswerError:
        return NoAnswerError(
            f"what listens at {self._path} is not stemd: give the path of its socket (--socket)"
        )
