"""Who plays a part: what its author chose, or other instruments of General MIDI."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import mido

from research.training.songs import BASSES, DRUM_CHANNEL, VOICES, Note, Part

BANK_SELECT = (0, 32)  # controllers
_NRPN = (99, 98)
ALL_CONTROLLERS_OFF = 121
ORCHESTRA_HIT = 55
INSTRUMENTS: dict[Part, tuple[int, ...]] = {
    "drums": (0, 8, 16, 24, 25, 32, 40, 48),  # kits of Roland's GS, which most fonts have
    "bass": tuple(BASSES),
    # No hits of an orchestra, nothing that is a noise rather than a note.
    "other": tuple(
        program for program in range(112) if program not in (*BASSES, *VOICES, ORCHESTRA_HIT)
    ),
}
OCTAVES: dict[Part, tuple[int, ...]] = {
    "drums": (0,),
    "bass": (0,),
    "other": (-12, 0, 0, 0, 12),
}
"""In semitones, to draw from."""


@dataclass(frozen=True)
class Reshaping:
    """One of a sound font's numbers, changed within these bounds for a channel.

    Attributes
    ----------
    generator : int
        As "SoundFont Technical Specification 2.04", section 8.1.2, numbers them.
    low, high : float
        What is added to it, in its own unit.
    step : int
        Of a message's unit in that unit (section 9.6.2).
    """

    generator: int
    low: float
    high: float
    step: int = 1


_DULLER = Reshaping(8, -5400, 0, 2)  # cents of the filter's cutoff
_RESONANT = Reshaping(9, 0, 150)  # centibels
RESHAPINGS: dict[Part, tuple[tuple[Reshaping, ...], ...]] = {
    "drums": (
        (_DULLER,),
        (Reshaping(51, -4, 4),),  # semitones
    ),
    "bass": (
        (_DULLER, _RESONANT),
        (Reshaping(34, 0, 6000, 2),),  # timecents of the attack
        (Reshaping(11, 0, 3600, 2), Reshaping(28, 7000, 11_500, 2), Reshaping(29, 1000, 1000)),
        (Reshaping(52, -12, 12),),  # cents
    ),
}
"""By part, what is changed together."""
RESHAPINGS["other"] = (
    *RESHAPINGS["bass"],
    (Reshaping(38, 0, 3600, 2),),  # timecents of the release
    (Reshaping(6, 5, 25, 2),),  # cents of vibrato
    (Reshaping(13, 10, 40),),  # centibels of tremolo
)
RESHAPED = 0.35
"""Share of channels for which each is."""


def recast(notes: list[Note], part: Part, dice: Random) -> list[Note]:
    """Assign a part to other instruments, one for each channel, some an octave up or down.

    Their sounds are changed by chance, too, where it is a sound font that plays.
    """
    channels = sorted({each.message.channel for each in notes if _is_note(each)})
    cast = {channel: dice.choice(INSTRUMENTS[part]) for channel in channels}
    octaves = {channel: dice.choice(OCTAVES[part]) for channel in channels}
    chosen = [
        Note(0.0, mido.Message("program_change", channel=channel, program=program))
        for channel, program in cast.items()
    ]
    chosen += [note for channel in channels for note in _reshaped(channel, part, dice)]
    played = [
        transposed(each, octaves[each.message.channel]) if _is_note(each) else each
        for each in without_programs(notes)
        if not each.message.is_cc(ALL_CONTROLLERS_OFF)  # which would undo the changes
    ]
    return chosen + played


def _reshaped(channel: int, part: Part, dice: Random) -> Iterator[Note]:
    """Return messages that change a channel's instrument (section 9.6 of the specification)."""
    for together in RESHAPINGS[part]:
        if dice.random() < RESHAPED:
            for each in together:
                value = 8192 + round(dice.uniform(each.low, each.high) / each.step)
                numbers = (_NRPN[0], 120), (_NRPN[1], each.generator), (38, value % 128)
                for control, number in (*numbers, (6, value // 128)):
                    message = mido.Message(
                        "control_change", channel=channel, control=control, value=number
                    )
                    yield Note(0.0, message)


def without_programs(notes: list[Note]) -> list[Note]:
    """Leave out what chooses an instrument."""
    return [each for each in notes if not _chooses(each)]


def in_first_channel(notes: list[Note]) -> list[Note]:
    """Move drums out of their channel, where FluidSynth looks for a font's bank of drums.

    What other channels are told, as to bend, stays behind: it is not for the drums.
    """
    return [
        Note(each.time_s, each.message.copy(channel=0))
        for each in notes
        if each.message.channel == DRUM_CHANNEL
    ]


def transposed(note: Note, semitones: int) -> Note:
    """Play it higher, as far as MIDI goes; drums stay."""
    message = note.message
    if not _is_note(note) or message.channel == DRUM_CHANNEL:
        return note
    pitch = min(max(message.note + semitones, 0), 127)
    return Note(note.time_s, message.copy(note=pitch))


def _is_note(note: Note) -> bool:
    return note.message.type in ("note_on", "note_off")


def _chooses(note: Note) -> bool:
    message = note.message
    bank = message.type == "control_change" and message.control in BANK_SELECT
    return bank or message.type == "program_change"
