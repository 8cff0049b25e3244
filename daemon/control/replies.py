"""What a daemon replies over the control socket, besides `Strip` and `Binding`.

Each key is explained in docs/control.md. These are plain dataclasses, as the daemon makes replies
and never reads them: models of pydantic would take memory in it. `control.client` validates them.
"""

from dataclasses import dataclass

from stemd.daemon.control.mixer import Strip
from stemd.daemon.sound_device import DeviceMode
from stemd.daemon.wording import counted


@dataclass(frozen=True)
class Bypassed:
    """Whether the input is heard instead of the stems."""

    on: bool


@dataclass(frozen=True)
class Device:
    """Whether stemd is a sound device: what is wanted, what is there, and why that differs."""

    mode: DeviceMode
    in_effect: DeviceMode
    trouble: str | None

    def in_words(self) -> str:
        """Return all of it as text for users."""
        pending = " (ending)" if self.mode == "off" else " (starting)"
        begins = "" if self.in_effect == self.mode or self.trouble else pending
        reason = f"; {self.trouble}" if self.trouble else ""
        return f"{self.mode}{begins}{reason}"


@dataclass(frozen=True)
class Recording:
    """What is recorded."""

    on: bool
    auto: bool
    taking: bool
    folder: str | None
    seconds: float
    lost_frames: int
    trouble: str | None

    def in_words(self) -> str:
        """Return all of it as text for users."""
        lost = f", {counted(self.lost_frames, 'frame')} lost" if self.lost_frames else ""
        trouble = f"; {self.trouble}" if self.trouble else ""
        if self.on and not self.taking:
            return f"waits for sound{trouble}"
        if self.folder is None:
            return f"off{trouble}"
        verb = "on" if self.on else "ended"
        return f"{verb}, {self.seconds:.1f} s in {self.folder}{lost}{trouble}"


@dataclass(frozen=True)
class Reloaded:
    """Keys of the configuration that differ, as ``section.key``."""

    changed: list[str]
    at_next_start: list[str]


@dataclass(frozen=True)
class Page:
    """The address of the page, with what lets a browser in."""

    address: str


@dataclass(frozen=True)
class Window:
    """The scheme of the sliding window, in spectra."""

    T: int
    B: int
    A: int
    mirror: int


@dataclass(frozen=True)
class Server:
    """The audio server, and what happened since it was joined."""

    name: str
    client: str
    samplerate: int
    period: int
    priority: int
    periods: int
    xruns: int
    bad_samples: int
    bad_outputs: int
    longest_cycle_us: float


@dataclass(frozen=True)
class Priority:
    """Real-time priority of a role's threads; 0: none."""

    wanted: int
    granted: int


@dataclass(frozen=True)
class Memory:
    """Whether memory is locked."""

    wanted: bool
    granted: bool


@dataclass(frozen=True)
class Realtime:
    """What was wanted of the system, and what of it was granted."""

    server: int
    engine: Priority
    steering: Priority
    networks: Priority
    memory: Memory
    missing: list[str]
    found: str
    remedy: str


@dataclass(frozen=True)
class Delay:
    """From the input ports to the output ports."""

    frames: int
    seconds: float


@dataclass(frozen=True)
class Blocks:
    """Blocks of the networks."""

    total: int
    late: int
    bad_estimates: int


@dataclass(frozen=True)
class Engine:
    """What the engine delivered late, or lost."""

    late_periods: int
    late_frames: int
    lost_frames: int
    dry_frames: int


@dataclass(frozen=True)
class PortMatches:
    """The ports that a pattern of ``jack.autoconnect`` matches; if none, the nearest names."""

    pattern: str
    matches: list[str]
    nearest: list[str]


@dataclass(frozen=True)
class Status:
    """The state of a daemon; `JoinedStatus` while there is an audio server."""

    version: str
    protocol: int
    state: str
    bypass: bool
    networks: str | None
    stems: list[str]
    preset: str
    precision: str
    why_precision: str | None
    window: Window | None
    mixer: dict[str, Strip]
    peaks: dict[str, list[float]]
    trouble: str | None
    not_open: dict[str, str]
    device: Device
    recording: Recording
    server: Server | None


@dataclass(frozen=True)
class JoinedStatus(Status):
    """The state of a daemon that has joined an audio server."""

    server: Server
    realtime: Realtime
    delay: Delay
    load: dict[str, float]
    blocks: Blocks
    engine: Engine
    connections: list[tuple[str, str]]
    disconnected: list[tuple[str, str]]
    autoconnect: dict[str, PortMatches]
