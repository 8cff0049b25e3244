"""Who plays a part: what its author chose, or other instruments of General MIDI."""

from __future__ import annotations

from random import Random

import mido

from training.songs import BASSES, DRUM_CHANNEL, VOICES, Note, Part

BANK_SELECT = (0, 32)  # controllers
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


def recast(notes: list[Note], part: Part, dice: Random) -> list[Note]:
    """Give a part to other instruments, one for each channel, some an octave up or down."""
    channels = sorted({each.message.channel for each in notes if _is_note(each)})
    cast = {channel: dice.choice(INSTRUMENTS[part]) for channel in channels}
    octaves = {channel: dice.choice(OCTAVES[part]) for channel in channels}
    chosen = [
        Note(0.0, mido.Message("program_change", channel=channel, program=program))
        for channel, program in cast.items()
    ]
    played = [
        transposed(each, octaves[each.message.channel]) if _is_note(each) else each
        for each in without_programs(notes)
    ]
    return chosen + played


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
