"""What is recorded, how, and how it goes."""

from dataclasses import dataclass
from pathlib import Path

from stemd.daemon.record_wish import RecordingFormat


@dataclass(frozen=True)
class Source:
    """What is recorded."""

    stems: tuple[str, ...]
    samplerate: int
    delay: int
    """Frames from the input to the stems."""
    before_faders: bool


@dataclass(frozen=True)
class Wishes:
    """How to record."""

    folder: Path
    """Of the takes' folders."""
    format: RecordingFormat = "wav"
    before_faders: bool = False
    align: bool = True
    """Whether the input's file is later by the delay, as the stems are."""
    auto: bool = False
    """Whether takes begin with sound and end after silence."""
    silence_s: float = 10.0


@dataclass(frozen=True)
class Progress:
    """What has been recorded so far."""

    folder: Path | None = None
    """Of the present or the last take; None before the first."""
    frames: int = 0
    """Of that take."""
    is_taking: bool = False
    trouble: str = ""
    """Why the recording ended by itself."""
