"""Killed at any moment and started again: every stem is there once, whole, bit for bit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from songs import write_noise

PROGRAM = """
import os, signal, sys
from pathlib import Path
from stemd.daemon.files import stem_file
from stemd.daemon.files.separate import separate
from stemd.daemon.files.song import Song
from stemd.daemon.files.stem_files import Destination
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import Scheme
from two_networks import low_and_high

song, folder, suffix, left = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
start = left

def counted(method):
    def call(self, *arguments):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(self, *arguments)
    return call

for kind in (stem_file.PlainFile, stem_file.EncodedFile):
    for name in ("write", "finish", "put_in_place"):
        setattr(kind, name, counted(getattr(kind, name)))
scheme = Scheme(T=64, B=5, A=3)
with Song(song) as opened:
    subtype = "FLOAT" if suffix == "wav" else "PCM_24"
    destination = Destination(folder, suffix, subtype, song=opened.fingerprint, settings="x")
    names = ["vocals", "accompaniment"]
    if not destination.is_done(names):
        separate(
            opened, destination, low_and_high(scheme), scheme, MaskExtension.MEAN, lambda *_: None
        )
print(start - left)
"""


def run(*words: object) -> str:
    """What it prints; empty if it was killed."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode in (0, -9), ended.stderr
    return ended.stdout.strip()


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("suffix", "share"), [("wav", 1), ("ogg", 0.5)])
def test_the_next_run_makes_whole_what_a_killed_one_left(suffix, share, tmp_path):
    """Killed in the middle, and between the renaming of one stem and of the other."""
    song = tmp_path / "song.wav"
    write_noise(song, 1)
    steps = int(run(song, tmp_path / "whole", suffix, 10**6))
    whole = content(tmp_path / "whole")
    assert sorted(whole) == [f"accompaniment.{suffix}", f"vocals.{suffix}"]
    killed = tmp_path / "killed"
    assert run(song, killed, suffix, round(share * steps)) == ""
    left = {name: data for name, data in content(killed).items() if name in whole}
    assert len(left) == (share == 1)
    assert left.items() <= whole.items()
    assert run(song, killed, suffix, 10**6) != ""
    assert content(killed) == whole
