"""Songs as sound: every part by itself, through several sound fonts."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import mido
import numpy as np
import soundfile
from numpy.typing import NDArray
from tqdm import tqdm

from packages import unpacked
from stemd.dsp.scheme import SAMPLERATE
from training.casting import in_first_channel, recast, transposed, without_programs
from training.processes import workers
from training.songs import PARTS, SECONDS, Note, Part, Song, Split
from training.tracks import Track, keep, write_list
from voices import MaterialError

TICKS_PER_S = 960
TRANSPOSITIONS = range(-3, 4)
"""Semitones, one for each song to learn from, so that its parts agree; drums stay."""
CASTS = {False: 2, True: 1}
"""How often other instruments play a part of a song, and of one that is made up."""
OPTIONS = (
    *("-niq", "-r", str(SAMPLERATE), "-g", "0.5", "-O", "float", "-T", "wav"),
    *("-o", "synth.dynamic-sample-loading=1"),  # of a big font, only what sounds
)
"""FluidSynth's."""


@dataclass(frozen=True)
class Font:
    """A sound font.

    Attributes
    ----------
    name : str
    package : str
        Of Debian.
    file : str
        Below the package's usr/share/sounds.
    splits : tuple of str
        Which songs are rendered through it.
    licence : str
        As the package's copyright file has it.
    parts : tuple of str
    has_programs : bool
        False for one drum kit, whatever the song asks for.
    """

    name: str
    package: str
    file: str
    splits: tuple[Split, ...]
    licence: str
    parts: tuple[Part, ...] = PARTS
    has_programs: bool = True

    @property
    def path(self) -> Path:
        """The file; its package is fetched if need be."""
        return unpacked(self.package) / "usr/share/sounds" / self.file

    @cached_property
    def sha256(self) -> str:
        """Of the file."""
        return sha256(self.path.read_bytes()).hexdigest()


_LEARNT: tuple[Split, ...] = ("train", "validation")

FONTS = (
    Font("fluid", "fluid-soundfont-gm", "sf2/FluidR3_GM.sf2", _LEARNT, "MIT"),
    Font("timgm", "timgm6mb-soundfont", "sf2/TimGM6mb.sf2", _LEARNT, "GPL-2"),
    Font("csound", "csound-soundfont", "sf2/sf_GMbank.sf2", ("train",), "LGPL-2.1+"),
    Font("opl3", "opl3-soundfont", "sf2/OPL-3_FM_128M.sf2", ("train",), "CC-BY-SA-4.0"),
    *(
        Font(
            name,
            "avldrums.lv2-soundfont",
            f"sf2/{file}_4_LV2.sf2",
            ("train",),
            "GPL-2+",
            ("drums",),
            False,
        )
        for name, file in (("pearl", "Black_Pearl"), ("zeppelin", "Red_Zeppelin"))
    ),
    Font(
        "musescore",
        "musescore-general-soundfont",
        "sf3/MuseScore_General_Full.sf3",
        ("test",),
        "MIT",
    ),
)


@dataclass(frozen=True)
class Performance:
    """A part of a song through a sound font.

    Attributes
    ----------
    song : Song
    font : Font
    part : Part
    cast : int
        0 as written; else by other instruments.
    """

    song: Song
    font: Font
    part: Part
    cast: int = 0

    @property
    def name(self) -> str:
        """Tell it from all others."""
        cast = f"-{self.cast}" if self.cast else ""
        return f"{self.song.sha256[:12]}-{self.font.name}-{self.part}{cast}"

    def notes(self) -> list[Note]:
        """Give what is played, the same on every machine."""
        notes = self.song.parts()[self.part]
        dice = Random(self.name)
        if self.cast:
            notes = recast(notes, self.part, dice)
        elif not self.font.has_programs:
            notes = in_first_channel(without_programs(notes))
        if self.song.split == "train" and self.part != "drums":
            shift = Random(self.song.sha256).choice(TRANSPOSITIONS)
            notes = [transposed(note, shift) for note in notes]
        return notes


def render_all(songs: Iterable[Song], folder: Path) -> list[Track]:
    """Render what is not there yet, and write ``tracks.json`` with all of it.

    Raises
    ------
    MaterialError
        If FluidSynth or a font cannot be had.
    """
    renderer = renderer_version()
    for font in FONTS:
        font.sha256  # noqa: B018 # fetched and read once, before several processes want it
    jobs = [(performance, renderer, folder) for performance in performances(songs)]
    with workers() as processes:
        done = list(tqdm(processes.map(_render, jobs), total=len(jobs), unit="track"))
    # A kit that a font has not is played by another one, which may be heard already.
    different = {(track.song, track.stem, track.sha256): track for track in done if track}
    tracks = list(different.values())
    write_list(folder / "tracks.json", tracks)
    return tracks


def performances(songs: Iterable[Song]) -> Iterator[Performance]:
    """Tell who plays what: songs as written, and those to learn from by other instruments too."""
    for song in songs:
        fonts = [font for font in FONTS if song.split in font.splits]
        for part in PARTS:
            able = [font for font in fonts if part in font.parts]
            dice = Random(f"{song.sha256} {part}")
            written = [dice.choice(able)] if song.is_made_up else able
            yield from (Performance(song, font, part) for font in written)
            if song.split == "train":
                programmed = [font for font in able if font.has_programs]
                casts = min(CASTS[song.is_made_up], len(programmed))
                for cast, font in enumerate(dice.sample(programmed, casts), 1):
                    yield Performance(song, font, part, cast)


def renderer_version() -> str:
    """Tell which FluidSynth renders.

    Raises
    ------
    MaterialError
        There is none, or it does not tell.
    """
    if not shutil.which("fluidsynth"):
        raise MaterialError("no fluidsynth here; run `sudo apt-get install fluidsynth`")
    told = subprocess.run(["fluidsynth", "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"runtime version (\S+)", told.stdout)
    if not version:
        raise MaterialError(
            f"`fluidsynth --version` names no version (got {told.stdout!r}); install FluidSynth 2"
        )
    return f"FluidSynth {version[1]}"


def _render(job: tuple[Performance, str, Path]) -> Track | None:
    """Render a part, unless it is there; None for one that is silent, as where a font lacks it."""
    performance, renderer, folder = job
    song, font, part = performance.song, performance.font, performance.part
    midi = midi_of(performance.notes())
    made_of = (sha256(midi).hexdigest(), f"{SECONDS} s", font.sha256, renderer, *OPTIONS)
    kept = keep(folder, "tracks", made_of, lambda: synthesize(midi, font))
    if not kept:
        return None
    return Track(kept.file, song.split, font.name, song.name, part, kept.gain, kept.sha256)


def synthesize(midi: bytes, font: Font) -> NDArray[np.float32]:
    """Play a MIDI file through a sound font.

    Parameters
    ----------
    midi : bytes
    font : Font

    Returns
    -------
    float32 [shape=(frames, 2)], SECONDS long.
    """
    with TemporaryDirectory() as name:
        source, wav = Path(name) / "part.mid", Path(name) / "part.wav"
        source.write_bytes(midi)
        command = ["fluidsynth", *OPTIONS, "-F", str(wav), str(font.path), str(source)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode or not wav.exists():
            reason = " ".join(done.stderr.decode(errors="replace").split())
            raise MaterialError(f"fluidsynth failed on {font.path}: {reason}")
        samples, _ = soundfile.read(wav, dtype="float32", always_2d=True)
    frames = round(SECONDS * SAMPLERATE)
    whole = np.zeros((frames, 2), np.float32)
    whole[: len(samples)] = samples[:frames]
    return whole


def midi_of(notes: list[Note]) -> bytes:
    """Give notes as a MIDI file of one track, at a tempo that makes a tick a round time."""
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
