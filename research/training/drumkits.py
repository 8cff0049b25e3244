"""Drum kits of Hydrogen's, played by the names of their drums.

The format: https://github.com/hydrogen-music/hydrogen/tree/main/res/schema (drumkit.xsd).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias
from xml.etree import ElementTree

import mido
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from research.training.errors import TrainingError
from stemd.dsp.scheme import CHANNELS, SAMPLERATE

DRUMS: Mapping[str, tuple[int, ...]] = {
    r"kick|bass ?drum": (35, 36),
    r"\bstick|rim click": (37,),
    r"snare(?! roll)": (38, 40),
    r"clap": (39,),
    r"(low|floor).*tom|tom.*(low|floor)": (41, 43, 45),
    r"closed|\bcl\b": (42,),
    r"pedal|\bpd\b": (44,),
    r"(?<!semi-)open|\bop\b": (46,),
    r"mid.*tom|tom.*mid|tom 2": (47,),
    r"hi.*tom|tom.*hi|tom 1|^tom$": (48, 50),
    r"crash(?!/)": (49, 57),
    r"ride(?!.(bell|cup))": (51, 59),
    r"china": (52,),
    r"ride.(bell|cup)": (53,),
    r"tambourine": (54,),
    r"splash": (55,),
    r"cowbell": (56,),
}
"""Names that drums have in kits, and the notes that General MIDI has them on."""
CLOSING = (42, 44)
OPEN = 46
"""A hi-hat that is closed is heard no more."""
FADE_S = 0.02


@dataclass(frozen=True)
class Layer:
    """A sample, and up to which velocity [0..1] it is heard."""

    file: Path
    loudest: float
    gain: float


Kit: TypeAlias = Mapping[int, tuple[Layer, ...]]
"""Layers by note, softest first."""


def kit_in(folder: Path) -> Kit:
    """Read a kit.

    Parameters
    ----------
    folder : Path
        Holds ``drumkit.xml``, and the samples that it names.

    Raises
    ------
    TrainingError
        No drum of it has a name that is known.
    """
    text = (folder / "drumkit.xml").read_text("utf-8", errors="replace")
    # Some declare a namespace, some do not, and some do it wrongly.
    text = re.sub(r"<drumkit_info[^>]*>", "<drumkit_info>", text)
    root = ElementTree.fromstring(text)  # noqa: S314 # apt has verified where it comes from
    drums = [(_text(each, "name"), _layers(each, folder)) for each in root.iter("instrument")]
    kit: dict[int, tuple[Layer, ...]] = {}
    for named, notes in DRUMS.items():
        layers = next((ls for name, ls in drums if ls and re.search(named, name, re.I)), None)
        if layers:
            kit.update(dict.fromkeys(notes, layers))
    if not kit:
        names = ", ".join(name for name, _ in drums)
        raise TrainingError(
            f"{folder}/drumkit.xml names no drum that DRUMS in research/training/drumkits.py "
            f"knows (got {names}): add a name there, or leave the kit out of FONTS in "
            "research/training/fonts.py"
        )
    return kit


def _layers(instrument: ElementTree.Element, folder: Path) -> tuple[Layer, ...]:
    volume = float(_text(instrument, "volume") or 1) * float(_text(instrument, "gain") or 1)
    layers = [
        Layer(
            folder / name,
            float(_text(each, "max") or 1),
            volume * float(_text(each, "gain") or 1),
        )
        for each in list(instrument.iter("layer")) or [instrument]  # as old kits have it
        if (name := _text(each, "filename")) and (folder / name).is_file()
    ]
    return tuple(sorted(layers, key=lambda layer: layer.loudest))


def _text(element: ElementTree.Element, name: str) -> str:
    return (element.findtext(name) or "").strip()


def strike(midi: bytes, kit: Kit, frames: int) -> NDArray[np.float32]:
    """Play a MIDI file's notes on a kit, whatever their channel [shape=(frames, CHANNELS)]."""
    out = np.zeros((frames, CHANNELS), np.float32)
    struck = [(at, note, velocity) for at, note, velocity in _notes(midi) if note in kit]
    closed = [at for at, note, _ in struck if note in CLOSING]
    for at, note, velocity in struck:
        layer = next((each for each in kit[note] if velocity <= each.loudest), kit[note][-1])
        sound = _read(layer.file) * np.float32(layer.gain * velocity)
        if note == OPEN:
            sound = _until(sound, next((end for end in closed if end > at), frames) - at)
        end = min(at + len(sound), frames)
        out[at:end] += sound[: end - at]
    return out


def _notes(midi: bytes) -> Iterator[tuple[int, int, float]]:
    """Return frame, note and velocity [0..1] of whatever is struck."""
    time_s = 0.0
    for message in mido.MidiFile(file=io.BytesIO(midi)):
        time_s += message.time
        if message.type == "note_on" and message.velocity:
            yield round(time_s * SAMPLERATE), message.note, message.velocity / 127


def _until(sound: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    fade = round(FADE_S * SAMPLERATE)
    if len(sound) <= frames + fade:
        return sound
    short = sound[: frames + fade].copy()
    short[frames:] *= np.linspace(1, 0, fade, dtype=np.float32)[:, np.newaxis]
    return short


@cache
def _read(path: Path) -> NDArray[np.float32]:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    at_rate = soxr.resample(samples[:, :CHANNELS], rate, SAMPLERATE, quality="HQ")
    return np.broadcast_to(np.asarray(at_rate, np.float32), (len(at_rate), CHANNELS))
