"""Songs as notes, out of Debian packages, and which of them the networks never hear."""

from __future__ import annotations

import io
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any, Literal, get_args

import mido

from research.material.packages import unpacked
from research.training.accompaniments import accompaniments

Split = Literal["train", "validation", "test"]
Part = Literal["drums", "bass", "other"]
PARTS: tuple[Part, ...] = get_args(Part)

PACKAGES = {
    "freedoom": "BSD-3-clause",
    "openttd-openmsx": "GPL-2",
    "planetblupi-music-midi": "GPL-3+",
    "simutrans-data": "Artistic-1.0",
    "mma": "GPL-2+",
}
"""Debian packages with songs as MIDI files, with the licences that their copyright files name."""

DRUM_CHANNEL = 9  # of General MIDI, counted from 0
BASSES = range(32, 40)
LEADS = range(80, 88)
HIGHEST_BASS, HIGHEST_LEAD_BASS = 55, 40
"""Pitches: the lowest G of a violin, and the lowest E of a guitar."""
VOICES = (52, 53, 54, 85, 91)
"""Choirs, and those of synthesizers: no instruments, and nobody sings."""
SIXTEENTHS: dict[Split, range] = {"test": range(2), "validation": range(2, 3)}
"""Of all songs, by the last digit of their sha256; the others are for training."""
SECONDS = 45.0
"""What is heard of each song, from its beginning."""
FEWEST_NOTES = 24
"""Of each part in that time, for a song to be of use."""
LEARNT_ONLY = "mma"
"""Its own songs play what its grooves play, out of which others are made up."""


@dataclass(frozen=True)
class Note:
    """One message to an instrument."""

    time_s: float
    message: mido.Message


@dataclass(frozen=True)
class Song:
    """A song with drums, bass and something else.

    Attributes
    ----------
    name : str
        As ``package/path``.
    sha256 : str
        Of the MIDI file.
    midi : bytes
    is_made_up : bool
        By chance, for learning only.
    """

    name: str
    sha256: str
    midi: bytes
    is_made_up: bool = False

    @property
    def package(self) -> str:
        """The Debian package it comes out of."""
        return self.name.split("/")[0]

    @property
    def split(self) -> Split:
        """What it is for; the same on every machine, and for the same notes in two packages."""
        if self.package == LEARNT_ONLY:
            return "train"
        digit = int(self.sha256[-1], 16)
        return next((split for split, digits in SIXTEENTHS.items() if digit in digits), "train")

    def parts(self) -> dict[Part, list[Note]]:
        """Sort the messages by part; what is no note, as volume, is in all of them."""
        return _parts_of(self.midi)


@lru_cache(maxsize=4)
def _parts_of(midi: bytes) -> dict[Part, list[Note]]:
    """Sort the messages once for all parts of a song that are played one after the other."""
    played = list(_notes_and_programs(midi))
    middles = _median_pitches(played)
    parts: dict[Part, list[Note]] = {part: [] for part in PARTS}
    sounding: dict[tuple[int, int], Part | None] = {}
    for note, program in played:
        message = note.message
        if message.type not in ("note_on", "note_off"):
            for notes in parts.values():
                notes.append(note)
            continue
        key = (message.channel, message.note)
        if _begins(message):
            instrument = (message.channel, program)
            sounding[key] = part_of(*instrument, middles[instrument])
            part = sounding[key]
        else:  # it ends where it began, whatever the channel plays by now
            part = sounding.pop(key, None)
        if part is not None:
            parts[part].append(note)
    return parts


def _notes_and_programs(midi: bytes) -> Iterator[tuple[Note, int]]:
    """Yield the messages of the first SECONDS, each with its channel's program."""
    programs = dict.fromkeys(range(16), 0)
    time_s = 0.0
    for message in mido.MidiFile(file=io.BytesIO(midi), clip=True):
        time_s += message.time
        if time_s > SECONDS:
            break
        if message.is_meta or message.type == "sysex":
            continue
        if message.type == "program_change":
            programs[message.channel] = message.program
        yield Note(time_s, message), programs[message.channel]


def _median_pitches(played: Iterable[tuple[Note, int]]) -> dict[tuple[int, int], float]:
    """Return the median pitch of what each channel plays with each program."""
    pitches: dict[tuple[int, int], list[int]] = defaultdict(list)
    for note, program in played:
        if _begins(note.message):
            pitches[note.message.channel, program].append(note.message.note)
    return {instrument: median(notes) for instrument, notes in pitches.items()}


def _begins(message: Any) -> bool:
    """Whether a note begins; one without velocity ends it."""
    return bool(message.type == "note_on" and message.velocity)


def part_of(channel: int, program: int, middle: float) -> Part | None:
    """Return the part that a channel plays while it has a program of General MIDI.

    Parameters
    ----------
    channel, program : int
    middle : float
        The median of its notes' pitches. A bass that plays a melody above is none to the ear, and
        a synthesizer's lead that plays far below is one.
    """
    if channel == DRUM_CHANNEL:
        return "drums"
    if program in VOICES:
        return None
    if program in BASSES:
        return "bass" if middle <= HIGHEST_BASS else "other"
    return "bass" if program in LEADS and middle <= HIGHEST_LEAD_BASS else "other"


def all_songs() -> list[Song]:
    """Return every song with enough notes of each part, each once; those made up come last."""
    songs: dict[str, Song] = {}
    for song in (*_packaged_songs(), *_songs_made_up()):
        if song.sha256 not in songs and _has_all_parts(song):
            songs[song.sha256] = song
    return list(songs.values())


def _packaged_songs() -> Iterator[Song]:
    for package in PACKAGES:
        for name, midi in sorted(midi_files(unpacked(package))):
            yield Song(f"{package}/{name}", sha256(midi).hexdigest(), midi)


def _songs_made_up() -> Iterator[Song]:
    for name, midi in accompaniments():
        made_up = f"{LEARNT_ONLY}/made up/{name}"
        yield Song(made_up, sha256(midi).hexdigest(), midi, is_made_up=True)


def _has_all_parts(song: Song) -> bool:
    try:
        parts = song.parts()
    except (EOFError, OSError, ValueError, mido.KeySignatureError):  # no MIDI, or a damaged one
        return False
    struck = Counter(
        part
        for part, notes in parts.items()
        for note in notes
        if note.message.type == "note_on" and note.message.velocity
    )
    return all(struck[part] >= FEWEST_NOTES for part in PARTS)


def midi_files(root: Path) -> Iterator[tuple[str, bytes]]:
    """Return the MIDI files below a folder with their paths there, those in files of Doom's too."""
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.suffix.lower() == ".mid" and path.is_file():
            yield name, path.read_bytes()
        elif path.suffix == ".wad":
            for lump, midi in read_wad(path.read_bytes()):
                yield f"{name}/{lump}", midi


def read_wad(wad: bytes) -> Iterator[tuple[str, bytes]]:
    """Return the music in a file of Doom's: a directory of lumps, of which D_… are songs."""
    count, directory = struct.unpack_from("<II", wad, 4)
    for n in range(count):
        start, size, raw = struct.unpack_from("<II8s", wad, directory + 16 * n)
        name = raw.rstrip(b"\0").decode("ascii", "replace")
        if name.startswith("D_"):
            yield name, wad[start : start + size]
