"""What a check of `stemd doctor` found; each room has a module `checks` with those of its own."""

from dataclasses import dataclass
from enum import StrEnum


class Weight(StrEnum):
    """What a finding means for the music."""

    GOOD = "good"
    """Nothing to do."""
    HINT = "hint"
    """stemd plays, but it could play better."""
    BAD = "bad"
    """stemd cannot play like this."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes
    ----------
    about : str
    weight : Weight
    found : str
    remedy : str
        What to do; empty for what is good, or where an error's own words say it.
    """

    about: str
    weight: Weight
    found: str
    remedy: str = ""


def good(about: str, found: str, remedy: str = "") -> Finding:
    """Return a finding with which there is nothing to do."""
    return Finding(about, Weight.GOOD, found, remedy)


def hint(about: str, found: str, remedy: str = "") -> Finding:
    """Return a finding with which stemd plays, but could play better."""
    return Finding(about, Weight.HINT, found, remedy)


def bad(about: str, found: str, remedy: str = "") -> Finding:
    """Return a finding with which stemd cannot play."""
    return Finding(about, Weight.BAD, found, remedy)
