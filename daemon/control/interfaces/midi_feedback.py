"""Shows the state of the mixer on MIDI controllers: buttons and pads light up."""

from collections.abc import Callable, Iterable, Mapping
from time import monotonic

from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.interfaces.midi_control import CONTROL_CHANGE, NOTE_ON
from stemd.daemon.control.mixer import Strip

LIT, DARK = 127, 0

AGAIN_S = 2.0
"""How often everything is sent anew, for a controller that was plugged in meanwhile."""


class MidiFeedback:
    """Sends the state of buttons and pads where it has changed (main thread).

    Parameters
    ----------
    send : callable
        Takes a message of three bytes; returns whether it will be sent.
    clock : callable
        Returns seconds of a monotonic clock.
    """

    def __init__(
        self, send: Callable[[bytes], bool], clock: Callable[[], float] = monotonic
    ) -> None:
        self._send = send
        self._clock = clock
        self._shown: dict[tuple[int, int], int] = {}
        self._until = 0.0

    def show(
        self,
        bindings: Iterable[Binding],
        strips: Mapping[str, Strip],
        switches: Mapping[str, bool],
    ) -> None:
        """Send what the controllers do not know yet.

        Parameters
        ----------
        bindings : iterable of Binding
            Faders have no light; what has no channel gets its state on the first one.
        strips : mapping
            By stem.
        switches : mapping
            Whether bypass and record are on.
        """
        if (now := self._clock()) >= self._until:
            self._shown, self._until = {}, now + AGAIN_S
        lit: dict[tuple[int, int], bool] = {}  # several bindings may share a light
        for binding in bindings:
            strip = strips.get(binding.stem) if binding.stem else None
            if binding.does == "gain" or (binding.stem and strip is None):
                continue
            is_on = getattr(strip, binding.does) if strip else switches[binding.does]
            kind, number = (
                (CONTROL_CHANGE, binding.cc) if binding.note is None else (NOTE_ON, binding.note)
            )
            light = kind + (binding.channel or 1) - 1, number or 0
            lit[light] = lit.get(light, False) or is_on
        for light, is_on in lit.items():
            value = LIT if is_on else DARK
            if self._shown.get(light) != value and self._send(bytes((*light, value))):
                self._shown[light] = value
