"""The demonstration: a short song, in real time, through real programs on a real server."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from stalls import measure_undisturbed
from stemd.daemon.cli import recording as recordings
from stemd.daemon.errors import ServerError, StemdError
from stemd.tflite_models import files

STEMD = Path(sys.executable).with_name("stemd")
SONG = Path(recordings.__file__).parent / "song" / "slow-motion-dream.mp3"


def heard_and_played(recording: Path, played: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The recording from where it sounds, and as much of the song from there."""
    mixture = soundfile.read(recording, dtype="float32")[0]
    begin, first = (int(np.argmax(each.any(axis=1))) for each in (mixture, played))
    whole = played[first:-1024]  # but for the player's last period, which it keeps for itself
    return mixture[begin:][: len(whole)], whole


def test_demo_records_the_stems_at_the_declared_delay_and_draws_them(tmp_path):
    song = tmp_path / "song.wav"
    x, samplerate = soundfile.read(SONG, start=2 * 44_100, frames=2 * 44_100)
    soundfile.write(song, x / 2, samplerate)
    folder = tmp_path / "demo"
    played = x.astype(np.float32) / 2

    def demonstrate() -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [STEMD, "demo", "--preset", "studio", "--song", song, "-o", folder],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert ended.returncode == 0, ended.stderr
        return ended

    def is_cut(ended: subprocess.CompletedProcess[str]) -> bool:
        return not np.allclose(*heard_and_played(folder / "mixture.wav", played), atol=1e-4)

    # Player and recorder lose a period where the machine stands still for longer than one.
    ended = measure_undisturbed(demonstrate, is_cut, spare_s=0.01)
    said = [line for line in ended.stderr.splitlines() if not line.startswith("not granted: ")]
    assert said == [
        f"playing {song} through the daemon, in real time …",
        "networks: 2stems (bundled)",
    ]
    *files, delay, load, late = ended.stdout.splitlines()
    names = ("mixture.wav", "vocals.wav", "accompaniment.wav", "stems.png")
    assert files == [str(folder / name) for name in names]
    declared, measured = re.match(
        r"delay: (\d+) frames .* declared, (\d+) measured", delay
    ).groups()
    assert declared == measured == "53689"  # those of the preset, with periods of 1024
    assert re.match(r"load: vocals \d+%, accompaniment \d+%, signal processing \d+% of", load)
    assert re.match(r"late: \d+ of \d+ blocks, \d+ periods?", late)
    waves = [soundfile.read(path, dtype="float32")[0] for path in files[:3]]
    mixture, *stems = (wave[: min(map(len, waves))] for wave in waves)
    np.testing.assert_allclose(*heard_and_played(folder / "mixture.wav", played), atol=1e-4)
    assert np.abs(mixture).max() == pytest.approx(np.abs(x / 2).max(), abs=1e-3)
    assert all(np.abs(stem).mean() > 0.003 for stem in stems)
    if late.startswith("late: 0 ") and " 0 of" in late:
        np.testing.assert_allclose(sum(stems), mixture, atol=1e-5)
    assert (folder / "stems.png").read_bytes().startswith(b"\x89PNG")


def test_what_a_program_wrote_is_said_when_something_went_wrong():
    command = ["sh", "-c", "echo nothing of interest >&2; echo no room >&2; echo done"]
    with (
        pytest.raises(StemdError, match=r"^the port a:b does not appear \(sh: no room\)$"),
        recordings._program(command, "nowhere", stdout=subprocess.PIPE) as program,
    ):
        with program.stdout:
            program.stdout.readline()
        raise StemdError("the port a:b does not appear")


def test_missing_program_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        ServerError, match=r"jack-stdin is not installed, .* apt install jack-stdio"
    ):
        recordings.play_and_record(None, np.zeros((2, 1)))


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    wave = np.zeros((2, 100_000), np.float32)
    recording = SimpleNamespace(mixture=wave, aligned=lambda: {"vocals": wave})
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        recordings.draw(recording, tmp_path / "stems.png")
    assert not list(tmp_path.iterdir())
