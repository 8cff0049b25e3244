"""Steering by MIDI: applies control changes and notes to the mixer, bypass and the recording."""

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

from stemd.daemon.control.bindings import FIRST_FINE, LAST_CC, Binding, with_learned
from stemd.daemon.control.events import ControllerLearned
from stemd.daemon.control.mixer import decibels_at, position_of
from stemd.daemon.control.steerable import Steerable, UnknownStemError, record, set_strip
from stemd.daemon.errors import StemdError

log = logging.getLogger(__name__)

NOTE_ON, CONTROL_CHANGE = 0x90, 0xB0

ON = 64
"""From this value up, a button is pressed (MIDI 1.0)."""

CLOSE = 0.02
"""The distance from 0 to 1 at which a fader takes over the gain."""

NEW_PRESS_S = 0.2
"""A button that sends "pressed" again after this time was released before: some buttons send only
presses; others, and knobs, repeat the same value."""


BATCH_S = 0.02
"""The shortest time between two batches of messages: a low-frequency oscillator sends hundreds per
second, and the music needs the Python interpreter."""


@dataclass
class _Controller:
    """The state of a controller that has a binding."""

    coarse: int = 0
    has_fine: bool = False
    """It has sent a fine part before, so a coarse part alone is half of a message."""
    last: float | None = None
    set_gain: float | None = None
    """The gain that it set last; if the gain has changed since, the fader must reach it first."""
    was_pressed: bool = False
    pressed_at: float = float("-inf")


class Source(NamedTuple):
    """What has moved: a controller, or the pad of a note."""

    is_note: bool
    number: int

    @classmethod
    def of(cls, binding: Binding) -> "Source":
        """Return the one of a binding."""
        is_note = binding.note is not None
        return cls(is_note, (binding.note if is_note else binding.cc) or 0)


class Lesson(NamedTuple):
    """The function for the next controller that moves, and the future for its binding."""

    wish: Binding
    learned: "Future[Binding]"


@dataclass
class MidiControl:
    """Applies MIDI messages (main thread).

    Parameters
    ----------
    daemon : Steerable
    bindings : list of Binding
    soft_takeover : bool
        A fader changes nothing until it reaches the present gain.
    learned : list of Binding
        The learned ones among the bindings.
    clock : callable
        Returns seconds of a monotonic clock.
    """

    daemon: Steerable
    bindings: list[Binding]
    soft_takeover: bool = True
    learned: list[Binding] = field(default_factory=list)
    clock: Callable[[], float] = monotonic

    _lesson: Lesson | None = None
    _controllers: dict[tuple[Binding, int], _Controller] = field(default_factory=dict)
    _batch: "_Batch" = field(init=False)
    _wait: bool = False
    """Whether messages wait."""
    _due: float = float("-inf")
    """When they may be applied."""

    def learn(self, wish: Binding, learned: "Future[Binding]") -> None:
        """Bind the next controller that moves, unless it is cancelled before.

        Raises
        ------
        StemdError
            Another client waits for a controller.
        """
        if self._lesson and not self._lesson.learned.done():
            raise StemdError("another controller is being learned: move it first, or wait 30 s")
        self._lesson = Lesson(wish, learned)

    def patience_s(self, longest_s: float) -> float:
        """Return how long to wait for events at most, so that messages are applied in time."""
        return min(longest_s, max(self._due - self.clock(), 0.001)) if self._wait else longest_s

    def follow(self, has_messages: bool, read: Callable[[], Iterable[bytes]]) -> None:
        """Read and apply messages, if there are any and the last batch was long enough ago.

        Parameters
        ----------
        has_messages : bool
            Whether messages came since the last call.
        read : callable
            Returns all messages that came.
        """
        self._wait |= has_messages
        if self._wait and self.clock() >= self._due:
            self._wait, self._due = False, self.clock() + BATCH_S
            self.handle(read())

    def handle(self, messages: Iterable[bytes]) -> None:
        """Read messages of three bytes, and apply their changes together at the end."""
        self._batch = _Batch(self.daemon)
        for status, controller, value in messages:
            is_note = status & 0xF0 == NOTE_ON
            last = 127 if is_note else LAST_CC
            if (is_note or status & 0xF0 == CONTROL_CHANGE) and controller <= last and value < 0x80:
                self._change(1 + (status & 0x0F), Source(is_note, controller), value)
        self._batch.apply()

    def _change(self, channel: int, source: Source, value: int) -> None:
        lesson = self._lesson
        if lesson and not (source.is_note and lesson.wish.does == "gain"):  # a pad is no fader
            self._lesson = None
            if lesson.learned.set_running_or_notify_cancel():
                self._bind(lesson, channel, source)
        for binding in self.bindings:
            if binding.channel in (None, channel):
                known = self._controllers.setdefault((binding, channel), _Controller())
                self._follow(binding, known, source, value)

    def _bind(self, lesson: Lesson, channel: int, source: Source) -> None:
        number = source.number
        place = {"note": number, "cc": None} if source.is_note else {"cc": number, "note": None}
        fine = lesson.wish.fine and number < FIRST_FINE
        new = lesson.wish.model_copy(update={"channel": channel, "fine": fine, **place})
        self.bindings = with_learned(self.bindings, [new])
        self.learned = with_learned(self.learned, [new])
        log.info("learned: %s", new.in_words())
        self.daemon.bulletin.publish(ControllerLearned(**new.model_dump()))
        lesson.learned.set_result(new)

    def _follow(self, binding: Binding, known: _Controller, source: Source, value: int) -> None:
        if binding.fine and source == Source(False, (binding.cc or 0) + FIRST_FINE):
            known.has_fine = True
            position = (known.coarse * 128 + value) / (127 * 128 + 127)
        elif source == Source.of(binding):
            known.coarse = value
            position = value / 127
            if binding.fine and known.has_fine:
                return  # its other half is on the way
        else:
            return
        if binding.stem and binding.stem not in self._batch.strips:
            log.debug("%s: there is no such stem now", binding.in_words())
        elif binding.does == "gain":
            self._move(binding, known, position)
        else:
            self._press(binding, known, value > 0 if source.is_note else value >= ON)

    def _press(self, binding: Binding, known: _Controller, pressed: bool) -> None:
        now = self.clock()
        is_new = not known.was_pressed or now - known.pressed_at > NEW_PRESS_S
        known.was_pressed, known.pressed_at = pressed, now
        if binding.toggles and not (pressed and is_new):
            return
        stem, what = binding.stem, binding.does
        if stem is None:
            self._batch.switch(what, None if binding.toggles else pressed)
        else:
            was_on = getattr(self._batch.strips[stem], what)
            self._batch.set(stem, what, not was_on if binding.toggles else pressed)

    def _move(self, binding: Binding, known: _Controller, position: float) -> None:
        stem = binding.stem or ""
        strip = self._batch.strips[stem]
        last, known.last = known.last, position
        if self.soft_takeover and strip.gain != known.set_gain:
            there = position_of(strip.gain)
            crossed = last is not None and min(last, position) <= there <= max(last, position)
            if not crossed and abs(position - there) > CLOSE:
                return
        known.set_gain = decibels_at(position)
        self._batch.set(stem, "gain", known.set_gain)


class _Batch:
    """The changes of several messages: each stem is set once, to its last values.

    Attributes
    ----------
    strips : dict of stem and strip
        The strips after the messages so far.
    """

    def __init__(self, daemon: Steerable) -> None:
        self.strips = daemon.mixer.strips()
        self._daemon = daemon
        self._changes: dict[str, dict[str, float | bool]] = {}
        self._switches: dict[str, _Switch] = {}

    def set(self, stem: str, what: str, value: float | bool) -> None:
        """Change the gain, mute or solo of a strip."""
        self._changes.setdefault(stem, {})[what] = value
        self.strips[stem] = self.strips[stem].model_copy(update={what: value})

    def switch(self, what: str, on: bool | None) -> None:
        """Switch bypass or the recording on or off; for None, to the other state."""
        switch = self._switches.setdefault(what, _Switch())
        if on is None:
            switch.changes_over = not switch.changes_over
        else:
            switch.on, switch.changes_over = on, False

    def apply(self) -> None:
        """Apply the changes to the stems, to bypass and to the recording."""
        for stem, change in self._changes.items():
            with suppress(UnknownStemError):  # it went meanwhile
                set_strip(self._daemon, stem, change)
        for what, switch in self._switches.items():
            if switch.on is None and not switch.changes_over:
                continue
            on = None if switch.on is None else switch.on != switch.changes_over
            if what == "record":
                record(self._daemon, on)
            else:
                self._daemon.bypass(on)


@dataclass
class _Switch:
    """What several presses come to."""

    on: bool | None = None
    changes_over: bool = False
