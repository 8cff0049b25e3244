"""What the interfaces (socket, MIDI, OSC) can ask of a running daemon."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.bulletin import Bulletin
from stemd.daemon.control.mixer import Mixer, Strip
from stemd.daemon.control.replies import Device, Reloaded, Status
from stemd.daemon.errors import StemdError
from stemd.daemon.presets import PresetName
from stemd.daemon.sound_device import DeviceMode


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
