"""Voices made by machine: espeak-ng speaks, festival sings. The same samples on every run."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from stemd.dsp.scheme import SAMPLERATE


class MaterialError(Exception):
    """The material of the benchmarks cannot be made here; the message says what to do."""


class Voice(Protocol):
    """Whoever makes a vocal track."""

    def perform(self) -> NDArray[np.float32]:
        """Return it [shape=(frames,)], at SAMPLERATE, of any length and level."""

    def __str__(self) -> str:
        """Return a description."""

    def __hash__(self) -> int:
        """Return a key that differs for every other voice."""


@dataclass(frozen=True)
class Speaker:
    """A voice of espeak-ng that reads a text.

    Attributes
    ----------
    voice : str
        Of espeak-ng, with variant.
    words_per_minute : int
    pitch : int
        From 0 to 99.
    text : str
    """

    voice: str
    words_per_minute: int
    pitch: int
    text: str

    def perform(self) -> NDArray[np.float32]:
        """Speak."""
        with TemporaryDirectory() as folder:
            target = Path(folder) / "voice.wav"
            arguments = [f"-v{self.voice}", f"-s{self.words_per_minute}", f"-p{self.pitch}"]
            _run(["espeak-ng", *arguments, "-w", str(target), self.text], "espeak-ng")
            return _read_mono(target)

    def __str__(self) -> str:
        return f"espeak-ng {self.voice}, {self.words_per_minute} words/min, pitch {self.pitch}"


@dataclass(frozen=True)
class Singer:
    """The voice of festival's singing mode with a song.

    Attributes
    ----------
    score : str
        Words as ``WORD:NOTES:BEATS``, a note and a length for each syllable. Festival's octaves
        are one lower than usual ones: A5 is 440 Hz.
    beats_per_minute : int
    voice : str
        Of festival, with diphones.
    """

    score: str
    beats_per_minute: int
    voice: str = "kal_diphone"

    def perform(self) -> NDArray[np.float32]:
        """Sing."""
        with TemporaryDirectory() as folder:
            source, script, target = (Path(folder) / name for name in ("xml", "scm", "wav"))
            source.write_text(self._xml())
            script.write_text(
                FESTIVAL_SCRIPT.format(voice=self.voice, source=source, target=target)
            )
            package = FESTIVAL_VOICES[self.voice]
            _run(["festival", "-b", str(script)], f"festival {package}")
            if not target.exists():
                raise MaterialError(
                    "festival sang nothing: its voice is missing; "
                    f"run `sudo apt-get install {package}`"
                )
            return _read_mono(target)

    def _xml(self) -> str:
        words = (word.split(":") for word in self.score.split())
        sung = "\n".join(
            f'<PITCH NOTE="{notes}"><DURATION BEATS="{beats}">{word}</DURATION></PITCH>'
            for word, notes, beats in words
        )
        return f'{SINGING_DTD}<SINGING BPM="{self.beats_per_minute}">\n{sung}\n</SINGING>\n'

    def __str__(self) -> str:
        return f"festival {self.voice}, singing at {self.beats_per_minute} beats/min"


FESTIVAL_VOICES = {"kal_diphone": "festvox-kallpc16k", "ked_diphone": "festvox-kdlpc16k"}
"""Debian's packages of those that sing."""

# Inside the file, because the one that festival ships needs others that its package lacks.
SINGING_DTD = """<?xml version="1.0"?>
<!DOCTYPE SINGING [
<!ELEMENT SINGING ANY>  <!ATTLIST SINGING BPM CDATA "120">
<!ELEMENT PITCH ANY>    <!ATTLIST PITCH FREQ CDATA "X" NOTE CDATA "X">
<!ELEMENT DURATION ANY> <!ATTLIST DURATION SECONDS CDATA "X" BEATS CDATA "X">
]>
"""

FESTIVAL_SCRIPT = """
(voice_{voice})
(load_library "singing-mode.scm")
(define (keep utterance) (utt.save.wave utterance "{target}" 'riff) utterance)
(set! tts_hooks (list utt.synth keep))
(tts_file "{source}" 'singing)
"""


def programs() -> str:
    """Return the programs that make the voices.

    Raises
    ------
    MaterialError
        One of them is not here.
    """
    told = (
        _run([name, "--version"], packages)
        for name, packages in (("espeak-ng", "espeak-ng"), ("festival", "festival"))
    )
    return "; ".join(text.splitlines()[0].split("  ")[0] for text in told)


def as_anywhere() -> dict[str, str]:
    """Return the environment in which a program sounds as it does for every other user.

    In the C locale, as a decimal comma would change what festival reads; and without a home, where
    festival, FluidSynth and mma look for the user's settings.
    """
    return {**os.environ, "LC_ALL": "C.UTF-8", "HOME": os.devnull}


def _run(command: list[str], packages: str) -> str:
    if not shutil.which(command[0]):
        raise MaterialError(f"no {command[0]} here; run `sudo apt-get install {packages}`")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=as_anywhere())
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise MaterialError(f"{command[0]} failed: {reason}")
    return done.stdout


def _read_mono(path: Path) -> NDArray[np.float32]:
    samples, rate = soundfile.read(path, dtype="float32")
    return np.asarray(soxr.resample(samples, rate, SAMPLERATE, quality="VHQ"), np.float32)
