"""The section ``midi`` of the configuration: steering by MIDI."""

from typing import Annotated, ClassVar

from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.interfaces.interface import Interface, Target
from stemd.daemon.sections import Effect


class MidiSection(Interface):
    """Steering by MIDI."""

    key: ClassVar[str] = "midi.enabled"

    enabled: Annotated[bool, Effect.AT_START] = False
    """Whether there is a port for it, midi_in."""

    soft_takeover: Annotated[bool, Effect.AT_START] = True
    """A fader changes nothing until it reaches the present gain."""

    bindings: Annotated[tuple[Binding, ...], Effect.AT_START] = ()
    """Which controller (cc, perhaps channel) does (gain, mute, solo, bypass) what to which stem."""

    @property
    def is_wanted(self) -> bool:
        """Whether there is a port for it."""
        return self.enabled

    def make(self, _target: Target) -> None:
        """Open nothing: messages wake the daemon's loop, which hands them to `midi_control`."""
