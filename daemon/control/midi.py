"""Steering by MIDI: which controller moves what."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from stemd.daemon.control.bindings import FIRST_FINE, Binding
from stemd.daemon.control.console import Steerable, UnknownStemError, set_strip
from stemd.daemon.control.mixer import decibels_at, position_of

log = logging.getLogger(__name__)

CONTROL_CHANGE = 0xB0

ON = 64
"""From this value on a button is pressed (MIDI 1.0)."""

CLOSE = 0.02
"""So near a fader is picked up."""


@dataclass
class _Fader:
    """What is known of a controller that moves a gain."""

    coarse: int | None = None
    last: float | None = None
    set_gain: float | None = None
    """What it set last; another gain is somebody else's, and then it must be picked up first."""


@dataclass
class MidiControl:
    """Does what messages say (main thread).

    Parameters
    ----------
    daemon : Steerable
    bindings : list of Binding
    takes_over_softly : bool
        A fader moves nothing until it is where the gain is.
    """

    daemon: Steerable
    bindings: list[Binding]
    takes_over_softly: bool = True
    learning: Binding | None = None
    """What the next controller that moves is bound to."""

    learned: list[Binding] = field(default_factory=list)
    """Those of the bindings that were learned."""

    _faders: dict[Binding, _Fader] = field(default_factory=dict)

    def handle(self, messages: Iterable[bytes]) -> None:
        """Follow messages of three bytes."""
        for status, controller, value in messages:
            if status & 0xF0 == CONTROL_CHANGE:
                self._change(1 + (status & 0x0F), controller, value)

    def _change(self, channel: int, controller: int, value: int) -> None:
        if self.learning:
            self._bind(self.learning, channel, controller)
        for binding in self.bindings:
            if binding.channel in (None, channel):
                self._follow(binding, controller, value)

    def _bind(self, wish: Binding, channel: int, controller: int) -> None:
        self.learning = None
        fine = wish.fine and controller < FIRST_FINE
        learned = wish.model_copy(update={"channel": channel, "cc": controller, "fine": fine})
        others = [
            [each for each in those if (each.cc, each.channel) != (controller, channel)]
            for those in (self.bindings, self.learned)
        ]
        self.bindings, self.learned = [*others[0], learned], [*others[1], learned]
        log.info("learned: %s", learned.in_words())
        self.daemon.bulletin.publish("learned", **learned.model_dump(exclude_defaults=True))

    def _follow(self, binding: Binding, controller: int, value: int) -> None:
        fader = self._faders.setdefault(binding, _Fader())
        if binding.fine and controller == binding.cc + FIRST_FINE and fader.coarse is not None:
            self._do(binding, fader, (fader.coarse * 128 + value) / (127 * 128 + 127))
        elif controller == binding.cc:
            fader.coarse = value
            self._do(binding, fader, value / 127, pressed=value >= ON)

    def _do(self, binding: Binding, fader: _Fader, position: float, pressed: bool = False) -> None:
        try:
            match binding.does:
                case "gain":
                    self._move(binding, fader, position)
                case "bypass":
                    if pressed or not binding.toggles:
                        self.daemon.bypass(None if binding.toggles else pressed)
                case what:
                    self._press(binding, what, pressed)
        except UnknownStemError:
            log.debug("%s: there is no such stem now", binding.in_words())

    def _press(self, binding: Binding, what: str, pressed: bool) -> None:
        if not binding.toggles:
            set_strip(self.daemon, binding.stem or "", {what: pressed})
        elif pressed:
            strip = self.daemon.mixer.strips().get(binding.stem or "")
            set_strip(self.daemon, binding.stem or "", {what: not getattr(strip, what, False)})

    def _move(self, binding: Binding, fader: _Fader, position: float) -> None:
        stem = binding.stem or ""
        strip = self.daemon.mixer.strips().get(stem)
        last, fader.last = fader.last, position
        if strip and self.takes_over_softly and strip.gain != fader.set_gain:
            there = position_of(strip.gain)
            crossed = last is not None and min(last, position) <= there <= max(last, position)
            if not crossed and abs(position - there) > CLOSE:
                return
        fader.set_gain = set_strip(self.daemon, stem, {"gain": decibels_at(position)}).gain
