"""What can be done to a daemon that runs; the socket, MIDI and OSC all come here."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Protocol

from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.bulletin import Bulletin
from stemd.daemon.control.mixer import Mixer, Strip


class Steerable(Protocol):
    """The daemon, as whoever steers it sees it (any thread).

    Attributes
    ----------
    mixer : Mixer
    bulletin : Bulletin
    """

    mixer: Mixer
    bulletin: Bulletin

    def status(self) -> "Future[dict[str, Any]]":
        """Tell how everything is."""

    def bypass(self, on: bool | None) -> "Future[bool]":
        """Hear the input, or not, or, for None, change over; gives which it is."""

    def reload(self) -> "Future[dict[str, Any]]":
        """Read the configuration anew; gives what changed, or raises `StemdError`."""

    def reload_soon(self) -> None:
        """Read the configuration anew when there is time; however often it is asked, once."""

    def learn(self, wish: Binding) -> "Future[Binding]":
        """Bind the next MIDI controller that moves; gives what it is, or raises `StemdError`.

        To cancel it is to learn nothing.
        """

    def stop(self) -> None:
        """End soon."""

    def peaks(self) -> dict[str, list[float]]:
        """Give how loud the input and each stem was lately [linear, left and right]."""


class UnknownStemError(Exception):
    """There is no such stem now."""


def set_strip(daemon: Steerable, stem: str, change: Mapping[str, Any]) -> Strip:
    """Change some of a stem's strip.

    Raises
    ------
    UnknownStemError
    """
    try:
        return daemon.mixer.set(stem, **change)
    except KeyError:
        there = ", ".join(daemon.mixer.strips()) or "none yet"
        raise UnknownStemError(f"there is no stem {stem} now (there are: {there})") from None
