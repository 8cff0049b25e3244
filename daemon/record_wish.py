"""How to record, as users may wish it each time."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

RecordingFormat: TypeAlias = Literal["wav", "flac"]
"""wav: 32-bit float, RF64 where that is too long for WAV; flac: 24 bits."""


@dataclass(frozen=True)
class RecordWish:
    """What differs from the section ``recording`` of the configuration."""

    folder: str | None = None
    """An absolute path."""

    format: RecordingFormat | None = None
    before_faders: bool | None = None
    align: bool | None = None

    auto: bool = False
    """Whether takes begin with sound and end after silence."""
