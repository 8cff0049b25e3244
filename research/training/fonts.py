"""What instruments sound like: sound fonts, patches and drum kits out of Debian packages."""

from __future__ import annotations

import re
import shutil
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
import soundfile
from numpy.typing import NDArray

from research.material.packages import unpacked
from research.material.voices import MaterialError, as_anywhere
from research.training.drumkits import Kit, kit_in, strike
from research.training.songs import PARTS, SECONDS, Part, Split
from stemd.dsp.scheme import SAMPLERATE


@dataclass(frozen=True)
class Font(ABC):
    """Sounds, and the program that plays them.

    Attributes
    ----------
    name : str
    package : str
        Of Debian.
    file : str
        A file or folder below the package's FOLDER.
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

    FOLDER: ClassVar[str]

    @property
    def path(self) -> Path:
        """The file or folder; its package is fetched if need be."""
        return unpacked(self.package) / self.FOLDER / self.file

    @cached_property
    def sha256(self) -> str:
        """Of the file, or of all that are in the folder and their names."""
        if self.path.is_file():
            return sha256(self.path.read_bytes()).hexdigest()
        digest = sha256()
        for file in sorted(path for path in self.path.rglob("*") if path.is_file()):
            digest.update(str(file.relative_to(self.path)).encode() + file.read_bytes())
        return digest.hexdigest()

    @property
    @abstractmethod
    def made_by(self) -> tuple[str, ...]:
        """What else determines how it sounds: the program, its version and options.

        Raises
        ------
        MaterialError
            If the program is missing, or does not tell its version.
        """

    @abstractmethod
    def play(self, midi: bytes) -> NDArray[np.float32]:
        """Play a MIDI file [shape=(frames, 2)], SECONDS long.

        Raises
        ------
        MaterialError
            If the program fails.
        """


class SoundFont(Font):
    """Instruments in one file, which FluidSynth plays."""

    FOLDER = "usr/share/sounds"
    OPTIONS = (
        *("-niq", "-r", str(SAMPLERATE), "-g", "0.5", "-O", "float", "-T", "wav"),
        *("-o", "synth.dynamic-sample-loading=1"),  # of a big font, only what sounds
    )

    @property
    def made_by(self) -> tuple[str, ...]:
        """FluidSynth and its options."""
        return _version("FluidSynth", r"runtime version (\S+)"), *self.OPTIONS

    def play(self, midi: bytes) -> NDArray[np.float32]:
        """Play it by FluidSynth."""
        command = ["fluidsynth", *self.OPTIONS, "-F", "part.wav", str(self.path), "part.mid"]
        return _played(midi, command, self.path)


class Patches(Font):
    """Instruments in a folder, each in a file of its own, which WildMIDI plays."""

    FOLDER = "usr/share/midi"
    OPTIONS = ("-r", str(SAMPLERATE))
    CONFIG = "etc/timidity/freepats.cfg"
    """Tells which file is which instrument; below the package's root."""

    @property
    def made_by(self) -> tuple[str, ...]:
        """WildMIDI and its options, and which file is which instrument."""
        listed = sha256(self._list.encode()).hexdigest()
        return _version("WildMidi", r"WildMidi (\S+)"), *self.OPTIONS, listed

    @property
    def _list(self) -> str:
        return (unpacked(self.package) / self.CONFIG).read_text("utf-8")

    def play(self, midi: bytes) -> NDArray[np.float32]:
        """Play it by WildMIDI."""
        config = re.sub(r"(?m)^dir .*$", f"dir {self.path}", self._list)
        command = ["wildmidi", *self.OPTIONS, "-c", "patches.cfg", "-o", "part.wav", "part.mid"]
        return _played(midi, command, self.path, {"patches.cfg": config})


class DrumKit(Font):
    """Drums as Hydrogen has them, a folder with a sample for every stroke."""

    FOLDER = "usr/share/hydrogen/data/drumkits"

    @property
    def made_by(self) -> tuple[str, ...]:
        """`research.training.drumkits`; the number changes with what it makes of a kit."""
        return ("drum kits 2",)

    @cached_property
    def _kit(self) -> Kit:
        return kit_in(self.path)

    def play(self, midi: bytes) -> NDArray[np.float32]:
        """Strike the drums."""
        return strike(midi, self._kit, round(SECONDS * SAMPLERATE))


def _played(
    midi: bytes, command: list[str], path: Path, files: dict[str, str] | None = None
) -> NDArray[np.float32]:
    """Run a program in a folder of its own, where it makes part.wav out of part.mid."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "part.mid").write_bytes(midi)
        for file, text in (files or {}).items():
            (folder / file).write_text(text)
        # WildMIDI takes what is typed for orders.
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env=as_anywhere(),
        )
        if done.returncode or b"Skipping" in done.stdout or not (folder / "part.wav").exists():
            said = (done.stderr + b" " + done.stdout).decode(errors="replace")
            raise MaterialError(
                f"{command[0]} failed on {path}: {' '.join(said.split())}; delete the package's "
                "folder, so that it is fetched anew, or leave the font out of FONTS in "
                "research/training/fonts.py"
            )
        samples, _ = soundfile.read(folder / "part.wav", dtype="float32", always_2d=True)
    frames = round(SECONDS * SAMPLERATE)
    whole = np.zeros((frames, 2), np.float32)
    whole[: len(samples)] = samples[:frames]
    return whole


def _version(name: str, told_as: str) -> str:
    program = name.lower()
    if not shutil.which(program):
        raise MaterialError(f"no {program} here; run `sudo apt-get install {program}`")
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    version = re.search(told_as, told.stdout)
    if not version:
        raise MaterialError(
            f"`{program} --version` names no version (got {told.stdout!r}); install another {name}"
        )
    return f"{name} {version[1]}"


_LEARNT: tuple[Split, ...] = ("train", "validation")
_DRUMS: tuple[Part, ...] = ("drums",)

FONTS: tuple[Font, ...] = (
    SoundFont("fluid", "fluid-soundfont-gm", "sf2/FluidR3_GM.sf2", _LEARNT, "MIT"),
    SoundFont("timgm", "timgm6mb-soundfont", "sf2/TimGM6mb.sf2", _LEARNT, "GPL-2"),
    SoundFont("csound", "csound-soundfont", "sf2/sf_GMbank.sf2", ("train",), "LGPL-2.1+"),
    SoundFont("opl3", "opl3-soundfont", "sf2/OPL-3_FM_128M.sf2", ("train",), "CC-BY-SA-4.0"),
    Patches("freepats", "freepats", "freepats", ("train",), "GPL-2+ with exception"),
    *(
        SoundFont(
            name,
            "avldrums.lv2-soundfont",
            f"sf2/{file}_4_LV2.sf2",
            ("train",),
            "GPL-2+",
            _DRUMS,
            has_programs=False,
        )
        for name, file in (("pearl", "Black_Pearl"), ("zeppelin", "Red_Zeppelin"))
    ),
    *(
        DrumKit(kit, "hydrogen-drumkits", kit, ("train",), licence, _DRUMS, has_programs=False)
        for kit, licence in (
            ("Audiophob", "CC0-1.0"),
            ("BJA_Pacific", "CC-BY-SA-3.0-US"),
            ("ColomboAcousticDrumkit", "GPL-2+ with exception"),
            ("ElectricEmpireKit", "GPL-2+"),
            ("ForzeeStereo", "GPL-2"),
            ("HardElectro1", "GPL-2+"),
            ("Millo-Drums_v.1", "GPL-2"),
            ("Millo_MultiLayered2", "GPL-2"),
            ("Millo_MultiLayered3", "GPL-2"),
            ("VariBreaks", "GPL-2+"),
            ("rumpf_kit_z01_h2", "CC-BY-3.0"),
        )
    ),
    SoundFont(
        "musescore",
        "musescore-general-soundfont",
        "sf3/MuseScore_General_Full.sf3",
        ("test",),
        "MIT",
    ),
)
