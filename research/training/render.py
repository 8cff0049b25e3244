"""Songs as sound: every part by itself, through several fonts."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random

import mido
from tqdm import tqdm

from research.training.casting import in_first_channel, recast, transposed, without_programs
from research.training.fonts import FONTS, Font
from research.training.songs import PARTS, SECONDS, Note, Part, Song
from research.training.tracks import Track, keep, write_list
from research.workers import workers

TICKS_PER_S = 960
TRANSPOSITIONS = range(-3, 4)
"""Semitones, one for each song to learn from, so that its parts agree; drums stay."""
WRITTEN = {False: 8, True: 1}
"""Through how many fonts a part of a song to learn from is played as written, and of one that is
made up."""
CASTS = {False: 2, True: 1}
"""How often other instruments play a part of a song, and of one that is made up."""


@dataclass(frozen=True)
class Performance:
    """A part of a song through a font.

    Attributes
    ----------
    song : Song
    font : Font
    part : Part
    cast : int
        0 as written; else by other instruments.
    in_its_key : bool
        Not transposed, though it is to be learnt from.
    """

    song: Song
    font: Font
    part: Part
    cast: int = 0
    in_its_key: bool = False

    @property
    def name(self) -> str:
        """Return a key that differs for every other one."""
        cast = f"-{self.cast}" if self.cast else ""
        return f"{self.song.sha256[:12]}-{self.font.name}-{self.part}{cast}"

    def notes(self) -> list[Note]:
        """Return what is played, the same on every machine."""
        notes = self.song.parts()[self.part]
        dice = Random(self.name)
        if self.cast:
            notes = recast(notes, self.part, dice)
        elif not self.font.has_programs:
            notes = in_first_channel(without_programs(notes))
        if self.song.split == "train" and self.part != "drums" and not self.in_its_key:
            shift = Random(self.song.sha256).choice(TRANSPOSITIONS)
            notes = [transposed(note, shift) for note in notes]
        return notes


def render_all(songs: Iterable[Song], folder: Path) -> list[Track]:
    """Render what is not there yet, and write ``tracks.json`` with all of it.

    Raises
    ------
    MaterialError
        If a font or what plays it cannot be had.
    """
    tracks = render(list(performances(songs)), folder)
    write_list(folder / "tracks.json", tracks)
    return tracks


def render(performances: Sequence[Performance], folder: Path) -> list[Track]:
    """Render what is not there yet; nothing is given that is silent, or sounds like another one.

    Raises
    ------
    MaterialError
        If a font or what plays it cannot be had.
    """
    # Fetched, read and asked once, before several processes want it.
    fonts = {each.font.name: each.font for each in performances}
    sounds = {name: (font.sha256, *font.made_by) for name, font in fonts.items()}
    jobs = [(each, sounds[each.font.name], folder) for each in performances]
    with workers() as processes:
        done = list(tqdm(processes.map(_render, jobs), total=len(jobs), unit="track"))
    # A kit that a font has not is played by another one, which may be heard already.
    different = {(track.song, track.stem, track.sha256): track for track in done if track}
    return list(different.values())


def performances(songs: Iterable[Song]) -> Iterator[Performance]:
    """Return what is played by what: songs as written, those to learn from by others too."""
    for song in songs:
        fonts = [font for font in FONTS if song.split in font.splits]
        for part in PARTS:
            able = [font for font in fonts if part in font.parts]
            dice = Random(f"{song.sha256} {part}")
            most = WRITTEN[song.is_made_up] if song.split == "train" else len(able)
            written = dice.sample(able, min(most, len(able)))
            yield from (Performance(song, font, part) for font in written)
            if song.split == "train":
                programmed = [font for font in able if font.has_programs]
                casts = min(CASTS[song.is_made_up], len(programmed))
                for cast, font in enumerate(dice.sample(programmed, casts), 1):
                    yield Performance(song, font, part, cast)


def _render(job: tuple[Performance, Sequence[str], Path]) -> Track | None:
    """Render a part, unless it is there; None for one that is silent, as where a font lacks it."""
    performance, sound, folder = job
    song, font, part = performance.song, performance.font, performance.part
    midi = midi_of(performance.notes())
    made_of = (sha256(midi).hexdigest(), f"{SECONDS} s", *sound)
    kept = keep(folder, "tracks", made_of, lambda: font.play(midi))
    if not kept:
        return None
    return Track(kept.file, song.split, font.name, song.name, part, kept.gain, kept.sha256)


def midi_of(notes: list[Note]) -> bytes:
    """Return notes as a MIDI file of one track, at a tempo that makes a tick a round time."""
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000)])
    ticks = 0
    sounding: set[tuple[int, int]] = set()
    for each in notes:
        message, now = each.message, round(each.time_s * TICKS_PER_S)
        if message.type == "note_on" and message.velocity:
            sounding.add((message.channel, message.note))
        elif message.type in ("note_on", "note_off"):
            sounding.discard((message.channel, message.note))
        track.append(message.copy(time=now - ticks))
        ticks = now
    rest = max(round(SECONDS * TICKS_PER_S) - ticks, 0)
    for channel, note in sorted(sounding):
        track.append(mido.Message("note_off", channel=channel, note=note, time=rest))
        rest = 0
    file = io.BytesIO()
    mido.MidiFile(ticks_per_beat=TICKS_PER_S // 2, tracks=[track]).save(file=file)
    return file.getvalue()
