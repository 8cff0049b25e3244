"""What the interfaces (socket, MIDI, OSC) can ask of a running daemon."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.bulletin import Bulletin
from stemd.daemon.control.mixer import Mixer, Strip
from stemd.daemon.control.replies import Device, Recording, Reloaded, Status
from stemd.daemon.errors import StemdError
from stemd.daemon.presets import PresetName
from stemd.daemon.record_wish import RecordWish
from stemd.daemon.sound_device import DeviceMode

log = logging.getLogger(__name__)


class Steerable(Protocol):
    """The daemon, as the interfaces see it (any thread).

    Attributes
    ----------
    mixer : Mixer
    bulletin : Bulletin
    page_address : callable
        Returns the address of the page; raises `StemdError` where there is none.
    """

    mixer: Mixer
    bulletin: Bulletin
    page_address: Callable[[], str]

    def status(self) -> "Future[Status]":
        """Return its state."""

    def bypass(self, on: bool | None) -> "Future[bool]":
        """Switch bypass on or off, for None to the other state; return whether it is on then."""

    def device(self, mode: DeviceMode | None) -> "Future[Device]":
        """Begin to be a sound device, or none; return what there is now, which None leaves so.

        `StemdError` where it is impossible.
        """

    def record(self, on: bool | None, wish: RecordWish) -> "Future[Recording]":
        """Begin or end a recording, for None the other of the two; return what is recorded then.

        `StemdError` where it is impossible.
        """

    def reload(self, preset: PresetName | None = None) -> "Future[Reloaded]":
        """Read the configuration again; return what changed, or raise `StemdError`.

        Parameters
        ----------
        preset : str, optional
            Instead of the one in the configuration, until the next reload.
        """

    def reload_soon(self) -> None:
        """Read the configuration again soon; several calls until then become one."""

    def learn(self, wish: Binding) -> "Future[Binding]":
        """Bind the next MIDI controller that moves; return its binding, or raise `StemdError`.

        Cancelling the future ends the wait.
        """

    def stop(self) -> None:
        """End soon."""

    def peaks(self) -> dict[str, list[float]]:
        """Return the recent peaks of the input and of each stem [linear, left and right]."""


def no_page() -> str:
    """Refuse to return the address of the page, which is not open.

    Raises
    ------
    StemdError
    """
    raise StemdError("there is no page: set web.port, and start again")


class UnknownStemError(Exception):
    """The daemon has no such stem now."""


def set_strip(daemon: Steerable, stem: str, change: Mapping[str, Any]) -> Strip:
    """Change a part of a stem's strip; return the whole strip.

    Raises
    ------
    UnknownStemError
    """
    try:
        return daemon.mixer.set(stem, **change)
    except KeyError:
        there = ", ".join(daemon.mixer.strips()) or "none yet"
        raise UnknownStemError(f"there is no stem {stem} now (there are: {there})") from None


def record(daemon: Steerable, on: bool | None) -> None:
    """Begin or end a recording as it is configured; log why that is impossible."""

    def note(ended: "Future[Recording]") -> None:
        if error := ended.exception():
            log.warning("recording: %s", error)

    daemon.record(on, RecordWish()).add_done_callback(note)
