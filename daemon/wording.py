"""Writes values into a message: bounded, with what was perhaps meant, in the right number."""

from collections.abc import Iterable
from reprlib import Repr

LONGEST_SHOWN = 80
"""Characters of a value that a message quotes."""

_REPR = Repr()
# Bounded while it is made: a value of some bytes may refer to itself a billion times.
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = LONGEST_SHOWN


def shown(value: object) -> str:
    """Return a value as a message quotes it, however long or deep it is.

    What YAML and JSON write in another way than Python is as they write it.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):  # its beginning says more than reprlib's both ends
        text = repr(value[: LONGEST_SHOWN + 1])
    else:
        try:
            text = _REPR.repr(value)
        except ValueError:  # an integer of thousands of digits
            return "a number of thousands of digits"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, which is in the plural by an s: ``1 thread``, ``2 threads``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def named(part: object) -> str:
    """Return a key as a message names it; the error that it becomes escapes what does not print."""
    text = part if isinstance(part, str) else shown(part)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def nearest(given: object, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known word that the given one was perhaps meant to be, whatever its case.

    Parameters
    ----------
    given : object
        Nothing but a short text is like a word.
    known : iterable of str
    cutoff : float
        How alike they must be, from 0 to 1.
    """
    if not isinstance(given, str) or len(given) > LONGEST_SHOWN:
        return None
    by_fold = {each.casefold(): each for each in known}
    from difflib import get_close_matches  # which the daemon seldom needs

    near = get_close_matches(given.casefold(), by_fold, 1, cutoff)
    return by_fold[near[0]] if near else None
