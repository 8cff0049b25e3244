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

    feedback: Annotated[bool, Effect.AT_START] = False
    """Whether there is a port midi_out, through which the buttons and pads of the bindings get
    their state, for their lights: velocity or value 127, or 0."""

    bindings: Annotated[tuple[Binding, ...], Effect.AT_START] = ()
    """Which controller (cc, perhaps channel) does (gain, mute, solo, bypass) what to which stem."""

    @property
    def has_feedback(self) -> bool:
        """Whether there is a port for answers."""
        return self.enabled and self.feedback

    @property
    def is_wanted(self) -> bool:
        """Whether there is a port for it."""
        return self.enabled

    def make(self, _target: Target) -> None:
        """Open nothing: messages wake the daemon's loop, which hands them to `midi_control`."""
