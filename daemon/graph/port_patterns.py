"""Patterns of port names: regular expressions that are matched in time linear in the name.

Other programs choose their ports' names, and Python's `re` takes time exponential in a name's
length for some patterns. Here every character of a pattern is a position, and a name is followed
through the set of positions where its characters may stand (Glushkov's automaton).
"""

import re
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

MAX_LENGTH = 600
"""Characters and groups of a pattern with its repetitions: it bounds work and memory. Names have
at most 320 characters (JACK2) or 512 (PipeWire)."""

MAX_DEPTH = 50
"""Brackets within brackets."""

QUANTIFIER = re.compile(r"[*+?]|\{(?P<least>\d{0,9})(?P<comma>,?)(?P<most>\d{0,9})\}")
CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
CLASSES = frozenset("dDwWsS")
"""Letters that stand for a class of characters behind a backslash."""


class PatternError(ValueError):
    """A pattern is wrong: what, where, and the remedy."""


class Part(NamedTuple):
    """A part of a pattern: whether it may be empty, and at which positions it begins and ends."""

    is_nullable: bool
    first: int
    last: int


NOTHING = Part(True, 0, 0)


class PortPattern:
    r"""A port's name, or a regular expression for whole names.

    Regular expressions may contain ``. [ ] ( ) | * + ? {m,n}``, ``\d \w \s`` and their opposites;
    after a backslash, any other sign stands for itself.

    Parameters
    ----------
    text : str
        A name equal to it always matches, whatever signs it contains.

    Raises
    ------
    PatternError
        The text is no such expression.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._at = self._depth = self._read = 0
        self._atoms: dict[str, int] = {}
        """For each kind of character, the positions where it may stand."""
        self._follow: list[int] = []
        """For each position, those that may come next. Sets of positions are bits of an int."""
        self._whole = self._alternatives()
        if self._at < len(text):
            raise self._error("')'", self._at, "closes no bracket", r"open it, or write \)")
        self._kinds = [(_accepts(atom), where) for atom, where in self._atoms.items()]

    def matches(self, name: str) -> bool:
        """Whether this is the name, or an expression for the whole of it."""
        if name == self.text:
            return True
        expected, found = self._whole.first, 0
        for character in name:
            found = expected & self._positions(character)
            if not found:
                return False
            expected = 0
            for position in _bits(found):
                expected |= self._follow[position]
        return bool(found & self._whole.last) if name else self._whole.is_nullable

    def _positions(self, character: str) -> int:
        where = 0
        for accepts, positions in self._kinds:
            if accepts(character):
                where |= positions
        return where

    # ---- parsing; each of these methods parses what its name says, and stops behind it ----

    def _alternatives(self) -> Part:
        part = self._sequence()
        while self.text.startswith("|", self._at):
            self._at += 1
            other = self._sequence()
            part = Part(
                part.is_nullable or other.is_nullable,
                part.first | other.first,
                part.last | other.last,
            )
        return part

    def _sequence(self) -> Part:
        part = NOTHING
        while self._at < len(self.text) and self.text[self._at] not in "|)":
            part = self._joined(part, self._repeated())
        return part

    def _repeated(self) -> Part:
        start = self._at
        part = self._atom()
        end = self._at
        while quantifier := self._quantifier():
            if quantifier[0] in "*+?":
                self._at = quantifier.end()
                part = self._looped(part) if quantifier[0] in "*+" else part
                part = part._replace(is_nullable=part.is_nullable or quantifier[0] in "*?")
            elif self._at == end:
                part = self._counted(part, start, quantifier)
            else:
                raise self._error(
                    f"'{quantifier[0]}'",
                    self._at,
                    "repeats what is repeated already",
                    "put that in round brackets",
                )
        return part

    def _quantifier(self) -> re.Match[str] | None:
        """Return the quantifier that comes next; braces without a number stand for themselves."""
        found = QUANTIFIER.match(self.text, self._at)
        if found and found[0][0] == "{" and not (found["least"] or found["most"]):
            return None
        return found

    def _counted(self, part: Part, start: int, quantifier: re.Match[str]) -> Part:
        """Repeat what begins at ``start``, of which ``part`` is the first copy."""
        is_endless = bool(quantifier["comma"]) and not quantifier["most"]
        least = int(quantifier["least"] or 0)
        most = max(least, 1) if is_endless else int(quantifier["most"] or least)
        if most < least:
            raise self._error(
                f"'{quantifier[0]}'", self._at, "is never fulfilled", "write the smaller one first"
            )
        result = NOTHING
        for number in range(1, most + 1):
            if number > 1:
                self._at = start
                part = self._atom()
            if number == most and is_endless:
                part = self._looped(part)
            part = part._replace(is_nullable=part.is_nullable or number > least)
            result = self._joined(result, part)
        self._at = quantifier.end()
        return result

    def _atom(self) -> Part:
        self._read += 1
        if self._read > MAX_LENGTH:
            raise PatternError(f"stands for more than {MAX_LENGTH} characters: shorten it")
        start, sign = self._at, self.text[self._at]
        if sign == "(":
            return self._group()
        if self._quantifier():
            raise self._error(
                f"'{sign}'",
                start,
                "repeats nothing",
                rf"any text is .*; the sign itself is \{sign}",
            )
        if sign in "^$":
            self._at += 1
            return NOTHING if self._is_at_an_end(start) else self._position("")
        return self._position(self._character())

    def _is_at_an_end(self, at: int) -> bool:
        """Whether ``^`` or ``$`` is redundant, since whole names are matched."""
        beside = self.text[at - 1 : at] if self.text[at] == "^" else self.text[at + 1 : at + 2]
        return beside in ("", "|", "(" if self.text[at] == "^" else ")")

    def _group(self) -> Part:
        start = self._at
        self._at += 3 if self.text.startswith("(?:", start) else 1
        if self.text.startswith("?", self._at):
            raise self._error("'(?'", start, "is not known here", r"write \( for a bracket")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error("'('", start, f"stands in {MAX_DEPTH} others", "take some away")
        part = self._alternatives()
        self._depth -= 1
        if self._at == len(self.text):
            raise self._error("'('", start, "is never closed", r"close it, or write \(")
        self._at += 1
        return part

    def _character(self) -> str:
        """Parse what stands for one character: a class, an escape, or itself."""
        start, sign = self._at, self.text[self._at]
        length = 1
        if sign == "[":
            found = CLASS.match(self.text, start)
            if not found:
                raise self._error("'['", start, "is never closed", r"close it, or write \[")
            length = len(found[0])
            self._check_class(found[0], start)
        elif sign == "\\":
            length = 2
            letter = self.text[start + 1 : start + 2]
            if not letter or (letter.isalnum() and letter not in CLASSES):
                raise self._error(f"'\\{letter}'", start, "stands for nothing", r"write \\ for \ ")
        self._at = start + length
        return self.text[start : self._at]

    def _check_class(self, text: str, start: int) -> None:
        try:
            _accepts(text)
        except re.error as error:
            raise self._error(
                f"'{text}'", start, str(error.msg), r"write \[ for a bracket"
            ) from None

    def _position(self, atom: str) -> Part:
        """Add a position where a character of this kind stands."""
        position = 1 << len(self._follow)
        self._follow.append(0)
        self._atoms[atom] = self._atoms.get(atom, 0) | position
        return Part(False, position, position)

    def _joined(self, before: Part, after: Part) -> Part:
        for position in _bits(before.last):
            self._follow[position] |= after.first
        return Part(
            before.is_nullable and after.is_nullable,
            before.first | (after.first if before.is_nullable else 0),
            after.last | (before.last if after.is_nullable else 0),
        )

    def _looped(self, part: Part) -> Part:
        for position in _bits(part.last):
            self._follow[position] |= part.first
        return part

    def _error(self, what: str, at: int, rule: str, remedy: str) -> PatternError:
        return PatternError(f"{what} at character {at + 1} {rule}: {remedy.rstrip()}")


@lru_cache(maxsize=1024)
def compiled(text: str) -> PortPattern:
    """Return the pattern of a text; it is cached."""
    return PortPattern(text)


def _accepts(atom: str) -> Callable[[str], object]:
    """Return a function that says whether a character is of a kind, in the syntax of `re`."""
    if not atom:
        return lambda _: False
    if len(atom) == 1 and atom != ".":
        return atom.__eq__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what may mean something else in a later Python
        return re.compile(atom, re.DOTALL).fullmatch


def _bits(positions: int) -> Iterator[int]:
    while positions:
        lowest = positions & -positions
        yield lowest.bit_length() - 1
        positions ^= lowest
