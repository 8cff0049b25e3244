"""Songs that mma makes up: one for each file of its library of grooves, over chords by chance.

MMA (Musical MIDI Accompaniment, Bob van der Poel) plays what a band would to a list of chords. That
gives many more ways to play drums, bass and chords than there are songs in Debian's packages; they
have no tune.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from research.material.packages import cache_folder, unpacked, version
from research.material.voices import MaterialError, as_anywhere
from research.workers import PROCESSES

PACKAGE = "mma"
TEMPOS = range(70, 170)
GROOVES, BARS = 3, 12
"""Of one file, one after the other, and how many bars of each."""
CHORDS = (
    *("C", "Dm", "Em", "F", "G", "Am", "Bb", "Gm", "Fm", "D", "E", "A"),
    *("Cmaj7", "Dm7", "Em7", "Fmaj7", "G7", "Am7", "C7", "D7", "E7", "A7", "Bdim", "Gsus4"),
)
ARGUMENTS = ("-f", "song.mid", "song.mma")
"""Without folders: mma writes names into what it makes, which is to be the same everywhere."""
SILENT = "none"
"""The file of the groove that plays nothing."""


def accompaniments() -> Iterator[tuple[str, bytes]]:
    """Return each song's name and MIDI file; they are kept, by what they are made of.

    Raises
    ------
    MaterialError
        If mma cannot be had, or fails.
    """
    root = unpacked(PACKAGE) / "usr/share/mma"
    folder = cache_folder() / "accompaniments"
    folder.mkdir(parents=True, exist_ok=True)
    files = [
        path
        for path in sorted((root / "lib").rglob("*.mma"))
        if path.stem != SILENT and _grooves_of(path)
    ]
    with ThreadPoolExecutor(PROCESSES) as threads:
        yield from threads.map(partial(_play, root, folder), files)


def compose(name: str, grooves: list[str]) -> str:
    """Write a song in mma's language; the name decides what the dice say."""
    dice = Random(name)
    lines = [f"RndSeed {dice.randrange(10_000)}", f"Tempo {dice.choice(TEMPOS)}"]
    for n in range(GROOVES):
        lines.append(f"Groove {name}:{dice.choice(grooves)}")
        lines += [f"{n * BARS + bar} {dice.choice(CHORDS)}" for bar in range(1, BARS + 1)]
    return "\n".join(lines) + "\n"


def _play(root: Path, folder: Path, grooves: Path) -> tuple[str, bytes]:
    name = str(grooves.relative_to(root / "lib").with_suffix(""))
    written = compose(name, _grooves_of(grooves))
    key = sha256(f"{version(PACKAGE)} {ARGUMENTS}\n{written}".encode()).hexdigest()[:16]
    target = folder / f"{name.replace('/', '-')}-{key}.mid"
    if not target.exists():
        with TemporaryDirectory(dir=folder) as temporary:
            midi = Path(temporary) / ARGUMENTS[1]
            midi.with_name(ARGUMENTS[2]).write_text(written)
            for each in root.iterdir():  # mma looks for its own in the folder where it runs
                midi.with_name(each.name).symlink_to(each)
            command = [sys.executable, str(root / "../../bin/mma"), *ARGUMENTS]
            done = subprocess.run(
                command,
                cwd=temporary,
                capture_output=True,
                text=True,
                check=False,
                env=as_anywhere(),
            )
            if done.returncode:
                reason = " ".join((done.stdout + done.stderr).split())[-200:]
                raise MaterialError(
                    f"mma failed on {grooves}: {reason}; delete {root.parents[2]}, from where it "
                    "is unpacked anew, or that file"
                )
            midi.replace(target)
    return name, target.read_bytes()


def _grooves_of(path: Path) -> list[str]:
    return re.findall(r"(?im)^\s*defgroove\s+(\S+)", path.read_text(errors="replace"))
