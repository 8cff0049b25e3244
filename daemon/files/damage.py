"""What is missing in a damaged song: where, and how much of it."""

from collections.abc import Iterator
from dataclasses import dataclass

NEAR_S, NEAR_END_S = 3.0, 1.0
"""Damage that is no farther from the one before it, or from the end, is reported as one with it:
ffmpeg 7 reads some frames ahead, and reports errors early."""

MOST_NAMED = 5
"""Places that a message names; it counts the others."""


@dataclass
class Damage:
    """A place where something is missing.

    Attributes
    ----------
    at : int
        The first missing frame, in the song as it should be.
    frames : int
        How many are missing; 0 where that is unknown.
    """

    at: int
    frames: int = 0


class DamageReport:
    """The places where a song is damaged, in order.

    Parameters
    ----------
    samplerate : int
        Frames per second.
    """

    def __init__(self, samplerate: int) -> None:
        self.samplerate = samplerate
        self._places: list[Damage] = []

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Damage]:
        return iter(self._places)

    def note(self, at: int, frames: int = 0) -> None:
        """Note that frames are missing, 0 if their number is unknown.

        What is near the last place, whose length may have been unknown so far, is added to it.
        """
        if not self.is_near(at):
            self._places.append(Damage(at, frames))
            return
        last = self._places[-1]
        if frames and not last.frames:
            last.at = at
        last.frames += frames

    def note_end(self, at: int) -> None:
        """Note that the end is missing; an error of unknown length shortly before was about it."""
        if not self.is_near(at):
            self._places.append(Damage(at))
        elif not self._places[-1].frames and self.is_near(at, NEAR_END_S):
            self._places[-1].at = at

    def is_near(self, at: int, near_s: float = NEAR_S) -> bool:
        """Whether a frame is near the last place."""
        if not self._places:
            return False
        last = self._places[-1]
        return at - (last.at + last.frames) <= near_s * self.samplerate

    def add(self, other: "DamageReport") -> None:
        """Take over the places of another report of the same song."""
        self._places = sorted([*self._places, *other], key=lambda each: each.at)

    def __str__(self) -> str:
        """Return what is missing where: ``0.21 s are missing at 0:02.98``."""
        named = [self._in_words(each) for each in self._places[:MOST_NAMED]]
        if more := len(self._places) - len(named):
            named.append(f"and {more} more")
        return ", ".join(named)

    def _in_words(self, damage: Damage) -> str:
        minutes, hundredths = divmod(round(100 * damage.at / self.samplerate), 6000)
        place = f"{minutes}:{hundredths / 100:05.2f}"
        if not damage.frames:
            return f"an unknown length is missing at {place}"
        return f"{damage.frames / self.samplerate:.2f} s are missing at {place}"
