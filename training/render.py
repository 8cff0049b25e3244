"""Songs as sound: every part by itself, through several sound fonts."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import BinaryIO

import mido
import numpy as np
import soundfile
from numpy.typing import NDArray
from tqdm import tqdm

from packages import unpacked, version
from stemd.dsp.scheme import SAMPLERATE
from training.songs import DRUM_CHANNEL, PARTS, Note, Part, Song, Split
from training.tracks import PEAK, Track, write_list
from voices import MaterialError

SECONDS = 75.0
"""Of each song, from its beginning."""
TICKS_PER_S = 960
TRANSPOSITIONS = range(-3, 4)
"""Semitones, one for each song and font of the training; drums stay."""
SILENCE = 1e-4
BANK_SELECT = (0, 32)  # controllers
PROCESSES = 2


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


_LEARNT: tuple[Split, ...] = ("train", "validation")

FONTS = (
    Font("fluid", "fluid-soundfont-gm", "sf2/FluidR3_GM.sf2", _LEARNT, "MIT"),
    Font("timgm", "timgm6mb-soundfont", "sf2/TimGM6mb.sf2", _LEARNT, "GPL-2"),
    Font("csound", "csound-soundfont", "sf2/sf_GMbank.sf2", ("train",), "LGPL-2.1+"),
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


def render_all(songs: Iterable[Song], folder: Path) -> list[Track]:
    """Render what is not there yet, and write ``tracks.json`` with all of it.

    Raises
    ------
    MaterialError
        If FluidSynth or a font cannot be had.
    """
    if not shutil.which("fluidsynth"):
        raise MaterialError("no fluidsynth here; run `sudo apt-get install fluidsynth`")
    jobs = [(song, font, part, folder) for song, font, part in _jobs(songs)]
    for font in FONTS:
        font.path  # noqa: B018 # fetched once, before several processes want it
    with ProcessPoolExecutor(PROCESSES) as processes:
        done = list(tqdm(processes.map(_render, jobs), total=len(jobs), unit="track"))
    tracks = [track for track in done if track is not None]
    write_list(folder / "tracks.json", tracks)
    return tracks


def describe_fonts() -> list[list[str]]:
    """Give a row for each font: name, package and version, licence, what it is for."""
    return [
        [
            Path(font.file).name,
            f"`{font.package}` {version(font.package)}",
            font.licence,
            ", ".join(font.parts),
            ", ".join(font.splits),
        ]
        for font in FONTS
    ]


def _jobs(songs: Iterable[Song]) -> Iterator[tuple[Song, Font, Part]]:
    for song in songs:
        for font in FONTS:
            if song.split in font.splits:
                for part in font.parts:
                    yield song, font, part


def _render(job: tuple[Song, Font, Part, Path]) -> Track | None:
    """Render a part, unless it is there; None for one that is silent, as where a font lacks it."""
    song, font, part, folder = job
    name = f"{song.sha256[:12]}-{font.name}-{part}"
    target, note = (folder / "tracks" / f"{name}{suffix}" for suffix in (".flac", ".json"))
    if not note.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        notes = song.messages(SECONDS)[part]
        if not font.has_programs:
            notes = [_in_first_channel(note) for note in notes if _plays(note)]
        shift = 0
        if song.split == "train" and part != "drums":
            shift = Random(f"{song.sha256} {font.name}").choice(TRANSPOSITIONS)
        samples = synthesize(notes, font, shift)
        peak = float(np.abs(samples).max(initial=0))
        gain = peak / PEAK
        if peak > SILENCE:
            quantized = np.rint(samples / gain * 32767).astype(np.int16)
            soundfile.write(target, quantized, SAMPLERATE, format="FLAC")
            digest = sha256(quantized.tobytes()).hexdigest()
        else:
            digest = ""
        track = Track(f"tracks/{target.name}", song.split, font.name, song.name, part, gain, digest)
        part_file = note.with_suffix(".part")
        part_file.write_text(json.dumps(asdict(track)))
        part_file.replace(note)
    track = Track(**json.loads(note.read_text()))
    return track if track.sha256 else None


def _plays(note: Note) -> bool:
    """Tell whether it is no choice of a program."""
    message = note.message
    bank = message.type == "control_change" and message.control in BANK_SELECT
    return not bank and message.type != "program_change"


def _in_first_channel(note: Note) -> Note:
    """Move a note out of the drums' channel, where FluidSynth looks for a font's bank of drums."""
    return Note(note.time_s, note.message.copy(channel=0))


def synthesize(notes: list[Note], font: Font, shift: int = 0) -> NDArray[np.float32]:
    """Play notes through a sound font.

    Parameters
    ----------
    notes : list of Note
    font : Font
    shift : int
        Semitones.

    Returns
    -------
    float32 [shape=(frames, 2)], SECONDS long.
    """
    with TemporaryDirectory() as name:
        midi, wav = Path(name) / "part.mid", Path(name) / "part.wav"
        with midi.open("wb") as file:
            write_midi(notes, file, shift)
        command = ["fluidsynth", "-niq", "-r", str(SAMPLERATE), "-g", "0.5", "-O", "float"]
        command += ["-o", "synth.dynamic-sample-loading=1"]  # of a big font, only what sounds
        command += ["-T", "wav", "-F", str(wav), str(font.path), str(midi)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode or not wav.exists():
            reason = " ".join(done.stderr.decode(errors="replace").split())
            raise MaterialError(f"fluidsynth failed on {font.path}: {reason}")
        samples, _ = soundfile.read(wav, dtype="float32", always_2d=True)
    frames = round(SECONDS * SAMPLERATE)
    whole = np.zeros((frames, 2), np.float32)
    whole[: len(samples)] = samples[:frames]
    return whole


def write_midi(notes: list[Note], file: BinaryIO, shift: int) -> None:
    """Write notes as a MIDI file of one track, at a tempo that makes a tick a round time."""
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000)])
    ticks = 0
    sounding: set[tuple[int, int]] = set()
    for each in notes:
        message, now = each.message, round(each.time_s * TICKS_PER_S)
        if message.type in ("note_on", "note_off") and message.channel != DRUM_CHANNEL:
            message = message.copy(note=min(max(message.note + shift, 0), 127))
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
    midi = mido.MidiFile(ticks_per_beat=TICKS_PER_S // 2, tracks=[track])
    midi.save(file=file)
