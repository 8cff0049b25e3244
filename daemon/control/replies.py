"""What a daemon replies over the control socket, besides `Strip` and `Binding`.

Each key is explained in docs/control.md. Keys of a later version are ignored.
"""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from stemd.daemon.control.known_keys import known
from stemd.daemon.control.mixer import Strip


def _known_of_strip(data: object) -> object:
    return known(Strip, data) if isinstance(data, dict) else data


class Reply(BaseModel):
    """What all of them have in common."""

    model_config = ConfigDict(frozen=True)


class Bypassed(Reply):
    """Whether the input is heard instead of the stems."""

    on: bool


class Reloaded(Reply):
    """Keys of the configuration that differ, as ``section.key``."""

    changed: list[str]
    at_next_start: list[str]


class Window(Reply):
    """The scheme of the sliding window, in spectra."""

    T: int
    B: int
    A: int
    mirror: int


class Server(Reply):
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


class Priority(Reply):
    """Real-time priority of a role's threads; 0: none."""

    wanted: int
    granted: int


class Memory(Reply):
    """Whether memory is locked."""

    wanted: bool
    granted: bool


class Realtime(Reply):
    """What was wanted of the system, and what of it was granted."""

    server: int
    engine: Priority
    steering: Priority
    networks: Priority
    memory: Memory
    missing: list[str]
    found: str
    remedy: str


class Delay(Reply):
    """From the input ports to the output ports."""

    frames: int
    seconds: float


class Blocks(Reply):
    """Blocks of the networks."""

    total: int
    late: int
    bad_estimates: int


class Engine(Reply):
    """What the engine delivered late, or lost."""

    late_periods: int
    late_frames: int
    lost_frames: int
    dry_frames: int


class PortMatches(Reply):
    """The ports that a pattern of ``jack.autoconnect`` matches; if none, the nearest names."""

    pattern: str
    matches: list[str]
    nearest: list[str]


class Status(Reply):
    """The state of a daemon; `JoinedStatus` while there is an audio server."""

    version: str
    protocol: int
    state: str
    bypass: bool
    networks: str | None
    stems: list[str]
    preset: str
    precision: str
    window: Window | None
    mixer: dict[str, Annotated[Strip, BeforeValidator(_known_of_strip)]]
    peaks: dict[str, list[float]]
    trouble: str | None
    server: Server | None


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


def read_status(answer: dict[str, object]) -> Status:
    """Read the reply to ``status``; ValidationError if a value is wrong."""
    kind = Status if answer.get("server") is None else JoinedStatus
    return kind.model_validate(answer)
