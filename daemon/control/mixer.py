"""The mixer: each stem's gain, mute and solo, the range of gains, and the curve of faders."""

from collections.abc import Callable, Iterable
from math import log10
from threading import Lock
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

OFF_DB, MAX_DB = -90.0, 12.0
"""The range of a stem's gain in dB. At the lower end the stem is silent."""


def _number_of(gain: object) -> object:
    """Read ``off``, which YAML reads as False, as silence; reject True as a number."""
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

    model_config = ConfigDict(frozen=True, extra="forbid")

    gain: Decibels = 0.0
    """In dB, from `OFF_DB` (silence) to `MAX_DB`."""

    mute: StrictBool = False

    solo: StrictBool = False
    """If any stem is soloed, only soloed stems are heard; a mute wins over a solo."""


class Mixer:
    """The gain, mute and solo of all stems, and the levels that follow from them (any thread).

    Parameters
    ----------
    strips : iterable of stem and strip
        The first settings; a stem without one starts with a gain of 0 dB.

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
        """Apply all levels now, and after each change from now on.

        Parameters
        ----------
        stems : iterable of str
            The present stems.
        apply : callable
            Takes a stem and the factor for its samples. It must not wait.
        """
        with self._lock:
            self._stems = tuple(stems)
            self._apply = apply
            self._apply_all()

    def strips(self) -> dict[str, Strip]:
        """Return the strips of the present stems."""
        with self._lock:
            return {stem: self._strip(stem) for stem in self._stems}

    def all_strips(self) -> dict[str, Strip]:
        """Return all strips, also those of stems that are not present now."""
        with self._lock:
            return dict(self._strips)

    def set(self, stem: str, **change: float | bool) -> Strip:
        """Change a part of a stem's strip; return the whole strip.

        Raises
        ------
        KeyError
            There is no such stem now.
        """
        with self._lock:
            if stem not in self._stems:
                raise KeyError(stem)
            strip = self._strip(stem).model_copy(update=change)
            self._change(stem, strip)
            return strip

    def put(self, stem: str, strip: Strip) -> None:
        """Set a whole strip, also of a stem that is not present now."""
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
    """Return the factor for the samples of a stem.

    Parameters
    ----------
    strip : Strip
    has_solo : bool
        This stem or another one is soloed.
    """
    if strip.mute or (has_solo and not strip.solo) or strip.gain <= OFF_DB:
        return 0.0
    return float(10 ** (strip.gain / 20))


UNITY = 0.75
"""Position from 0 to 1 at which a MIDI or OSC fader is at 0 dB. So its upper end is at +5 dB;
higher gains, up to `MAX_DB`, must be set in dB."""


def decibels_at(position: float) -> float:
    """Return the gain in dB at a fader's position from 0 to 1: amplitude = position squared."""
    if position <= 0:
        return OFF_DB
    return max(OFF_DB, 40 * log10(position / UNITY))


def position_of(gain: float) -> float:
    """Return the fader's position for a gain in dB; 1 for a gain above the top of the fader."""
    return 0.0 if gain <= OFF_DB else min(1.0, UNITY * float(10 ** (gain / 40)))
