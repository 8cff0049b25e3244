"""What a daemon sends to clients that subscribe; docs/control.md says when.

These are plain dataclasses: the daemon makes events and never reads them. `control.client`
validates them.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from stemd.daemon.sound_device import DeviceMode


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    event: ClassVar[str]
    """Its name in the protocol."""

    left_out: int = field(default=0, kw_only=True)
    """How many events before it the client did not get, because it read too slowly."""

    def as_json(self) -> dict[str, Any]:
        """Return it as the protocol has it: ``left_out`` only where some were."""
        values = {key: value for key, value in vars(self).items() if key != "left_out" or value}
        return {"event": self.event, **values}


@dataclass(frozen=True)
class StateChanged(Event):
    """The state of the daemon changed."""

    event = "state"
    state: str


@dataclass(frozen=True)
class ClientNamed(Event):
    """The audio server gave the daemon's client this name."""

    event = "client"
    name: str


@dataclass(frozen=True)
class DelayChanged(Event):
    """The delay from the input ports to the output ports changed."""

    event = "delay"
    frames: int


@dataclass(frozen=True)
class StripChanged(Event):
    """A stem's strip of the mixer was set."""

    event = "mixer"
    stem: str
    gain: float
    mute: bool
    solo: bool


@dataclass(frozen=True)
class BypassSwitched(Event):
    """Bypass was switched on or off."""

    event = "bypass"
    on: bool


@dataclass(frozen=True)
class DeviceChanged(Event):
    """stemd begins to be a sound device, is one, or is none any more; the values of `Device`."""

    event = "device"
    mode: DeviceMode
    in_effect: DeviceMode
    trouble: str | None


@dataclass(frozen=True)
class RecordingChanged(Event):
    """A recording or a take began or ended; values of `Recording`."""

    event = "recording"
    on: bool
    auto: bool
    taking: bool
    folder: str | None
    trouble: str | None


@dataclass(frozen=True)
class ControllerLearned(Event):
    """A MIDI controller was bound; the values of its `Binding`."""

    event = "learned"
    cc: int | None
    note: int | None
    does: str
    stem: str | None
    channel: int | None
    fine: bool
    toggles: bool


@dataclass(frozen=True)
class ReloadEnded(Event):
    """The configuration was read again; with an ``error``, nothing has changed."""

    event = "reload"
    changed: list[str]
    at_next_start: list[str]
    error: str | None


@dataclass(frozen=True)
class MetersRead(Event):
    """Peaks of the input and each stem, left and right; 1 is full scale."""

    event = "meters"
    peaks: dict[str, list[float]]


BY_NAME = {kind.event: kind for kind in Event.__subclasses__()}
"""The class of each event, by its name in the protocol."""
