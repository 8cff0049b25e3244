"""The mixer: each stem's fader, mute and solo."""

from collections.abc import Callable, Iterable
from math import log10
from threading import Lock
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

OFF_DB = -90.0
"""A fader at its lower end lets nothing through."""

MAX_DB = 12.0


def _number_of(gain: object) -> object:
    """Read ``off``, which YAML takes for false, and take no other truth for a number."""
    if gain is False or gain == "off":
        return OFF_DB
    if gain is True:
        raise ValueError("must be a number of decibels, or off")
    return gain


Decibels = Annotated[
    float, Field(ge=OFF_DB, le=MAX_DB, allow_inf_nan=False), BeforeValidator(_number_of)
]


class Strip(BaseModel):
    """Gain, mute and solo of one stem."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    gain: Decibels = 0.0
    """Of the fader, in dB; `OFF_DB` is silence."""

    mute: StrictBool = False

    solo: StrictBool = False
    """Only stems with this are heard, if any has it; a mute wins over it."""


class Mixer:
    """The strips of all stems, and the levels that follow from them (any thread).

    Parameters
    ----------
    strips : iterable of stem and strip
        How they begin; a stem that is not among them begins with its fader at 0 dB.

    Attributes
    ----------
    on_change : callable
        Takes a stem and its strip after each change, one at a time. It must not wait.
    """

    def __init__(self, strips: Iterable[tuple[str, Strip]]) -> None:
        self._lock = Lock()
        self._strips = dict(strips)
        self._stems: tuple[str, ...] = ()
        self._apply: Callable[[str, float], None] = lambda *_: None
        self.on_change: Callable[[str, Strip], None] = lambda *_: None

    def attach(self, stems: Iterable[str], apply: Callable[[str, float], None]) -> None:
        """Apply all levels to what plays from now on.

        Parameters
        ----------
        stems : iterable of str
            Those that there are.
        apply : callable
            Takes a stem and the number that its samples are to be multiplied by. It must not wait.
        """
        with self._lock:
            self._stems = tuple(stems)
            self._apply = apply
            self._apply_all()

    def strips(self) -> dict[str, Strip]:
        """Return those of the present stems."""
        with self._lock:
            return {stem: self._strip(stem) for stem in self._stems}

    def all_strips(self) -> dict[str, Strip]:
        """Return also those of stems that are not present now."""
        with self._lock:
            return dict(self._strips)

    def set(self, stem: str, **change: float | bool) -> Strip:
        """Change some of a strip; return all of it.

        Raises
        ------
        KeyError
            There is no such stem.
        """
        with self._lock:
            if stem not in self._stems:
                raise KeyError(stem)
            strip = self._strip(stem).model_copy(update=change)
            self._change(stem, strip)
            return strip

    def put(self, stem: str, strip: Strip) -> None:
        """Set all of a strip, also of a stem that is not present now."""
        with self._lock:
            self._change(stem, strip)

    def _change(self, stem: str, strip: Strip) -> None:
        self._strips[stem] = strip
        self._apply_all()
        self.on_change(stem, strip)

    def _strip(self, stem: str) -> Strip:
        return self._strips.get(stem, Strip())

    def _apply_all(self) -> None:
        has_solo = any(self._strip(stem).solo for stem in self._stems)
        for stem in self._stems:
            self._apply(stem, level(self._strip(stem), has_solo))


def level(strip: Strip, has_solo: bool) -> float:
    """Return the number by which a strip's samples are multiplied.

    Parameters
    ----------
    strip : Strip
    has_solo : bool
        Some stem, this one or another, is soloed.
    """
    if strip.mute or (has_solo and not strip.solo) or strip.gain <= OFF_DB:
        return 0.0
    return float(10 ** (strip.gain / 20))


UNITY = 0.75
"""Where a fader of length 1 is at 0 dB."""


def decibels_at(position: float) -> float:
    """Return the gain where a fader stands, from 0 to 1: its amplitude goes with the square."""
    if position <= 0:
        return OFF_DB
    return max(OFF_DB, 40 * log10(position / UNITY))


def position_of(gain: float) -> float:
    """Return where a fader stands for a gain in dB; 1 for one that is beyond its end."""
    return 0.0 if gain <= OFF_DB else min(1.0, UNITY * float(10 ** (gain / 40)))
