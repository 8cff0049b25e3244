"""MIDI bindings of the configuration: which controller changes what."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stemd.daemon.ports import StemName

FIRST_FINE = 32
"""The fine part of a controller n below 32 is controller n + 32 (MIDI 1.0)."""


LAST_CC = 119
"""The last controller; higher numbers are channel mode messages, such as "all notes off"."""


class Binding(BaseModel):
    """One controller or pad and its function."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cc: Annotated[int, Field(strict=True, ge=0, le=LAST_CC)] | None = None
    """The controller's number."""

    note: Annotated[int, Field(strict=True, ge=0, le=127)] | None = None
    """The number of a pad's or key's note, instead."""

    does: Literal["gain", "mute", "solo", "bypass", "record"]

    stem: StemName | None = None
    """The stem that it changes; not for bypass and record."""

    channel: Annotated[int, Field(strict=True, ge=1, le=16)] | None = None
    """None: every channel."""

    fine: bool = False
    """14 bits: the fine part is controller ``cc`` + 32."""

    toggles: bool = False
    """Each press switches to the other state; otherwise the value means on or off."""

    @model_validator(mode="after")
    def _fits(self) -> "Binding":
        if (self.does in ("bypass", "record")) == (self.stem is not None):
            raise ValueError(f"stem must {'not ' if self.stem else ''}be given with {self.does}")
        if (self.cc is None) == (self.note is None):
            raise ValueError("give either cc, for a controller, or note, for a pad")
        if self.note is not None and self.does == "gain":
            raise ValueError("a note does mute, solo, bypass or record only")
        if self.fine and (self.does != "gain" or (self.cc or 0) >= FIRST_FINE):
            raise ValueError(f"fine is for gain only, with a cc below {FIRST_FINE}")
        if self.toggles and self.does == "gain":
            raise ValueError("toggles is for mute, solo, bypass and record only")
        return self

    def shares_controller(self, other: "Binding") -> bool:
        """Whether one controller could change both."""
        return (self.cc, self.note) == (other.cc, other.note) and (
            self.channel == other.channel or None in (self.channel, other.channel)
        )

    def in_words(self) -> str:
        """Return it as a sentence."""
        where = f" on channel {self.channel}" if self.channel else ""
        what = f"controller {self.cc}" if self.note is None else f"note {self.note}"
        return f"{what}{where} is {f'{self.stem} ' if self.stem else ''}{self.does}"


def with_learned(bindings: Iterable[Binding], learned: Iterable[Binding]) -> list[Binding]:
    """Return the bindings with learned ones, which replace those of the same controller."""
    result = list(bindings)
    for new in learned:
        result = [*(each for each in result if not each.shares_controller(new)), new]
    return result
