"""`stemd demo --compare`: the same seconds by every preset, beside offline."""

from functools import partial
from math import isnan
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from stemd.daemon.cli import comparison
from stemd.daemon.cli.commands import stemd as cli
from stemd.daemon.cli.comparison import Take, excerpt_of
from stemd.daemon.cli.recording import SONG
from stemd.daemon.engine.networks import load_networks
from stemd.daemon.presets import PRESETS
from stemd.dsp.scheme import SAMPLERATE

NAMES = ("offline", *(name for name in PRESETS if name != "auto"))


def run(*arguments: str) -> list[str]:
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def read(path) -> np.ndarray:
    return soundfile.read(path, dtype="float32")[0].T


@pytest.fixture
def two_seconds(tmp_path, monkeypatch):
    """The song's third and fourth second; the machine holds the last scheme of each preset."""
    monkeypatch.setattr(
        comparison, "choose", lambda works: (works[-1], partial(load_networks, works[-1]), "")
    )
    x, samplerate = soundfile.read(SONG, start=2 * SAMPLERATE, frames=2 * SAMPLERATE)
    soundfile.write(tmp_path / "song.wav", x / 2, samplerate, subtype="FLOAT")
    return tmp_path / "song.wav"


def test_every_preset_is_beside_offline_with_a_picture_and_figures(two_seconds, tmp_path):
    folder = tmp_path / "demo"
    lines = run("demo", "--compare", "--song", str(two_seconds), "-o", str(folder))
    stems = ("vocals", "accompaniment")
    names = ["mixture", *(f"{stem}-{name}" for stem in stems for name in NAMES)]
    files = [*(folder / f"{name}.wav" for name in names), folder / "compare.png"]
    assert lines[: len(files)] == [str(file) for file in files]
    assert files[-1].read_bytes().startswith(b"\x89PNG")
    mixture = read(folder / "mixture.wav")
    for name in NAMES:
        total = sum(read(folder / f"{stem}-{name}.wav") for stem in stems)
        np.testing.assert_allclose(total, mixture, atol=1e-5)
    run("separate", str(two_seconds), "-o", str(tmp_path))
    vocals = read(tmp_path / "vocals.wav")
    np.testing.assert_allclose(read(folder / "vocals-offline.wav"), vocals, atol=1e-6)
    head, *rows = (line.split() for line in lines[len(files) :])
    assert head == ["difference", "from", "offline:", *stems]
    assert [row[0] for row in rows] == [*NAMES[1:]]
    level = 10 * np.log10(np.square(read(folder / "vocals-live.wav") - vocals).sum())
    level -= 10 * np.log10(np.square(vocals).sum())
    assert float(rows[-1][-4]) == pytest.approx(level, abs=0.1)


@pytest.mark.parametrize(("song_s", "around_s", "begin_s"), [(4, 4, 0), (20, 20, 5), (100, 40, 45)])
def test_the_middle_of_a_song_is_compared_with_what_is_around_it(song_s, around_s, begin_s):
    frames = song_s * SAMPLERATE
    song = np.arange(2 * frames, dtype=np.float32).reshape(2, frames)
    excerpt = excerpt_of(song)
    assert excerpt.mixture.shape[1] == around_s * SAMPLERATE
    begin = begin_s * SAMPLERATE
    heard = song[:, begin : begin + min(10, song_s) * SAMPLERATE]
    np.testing.assert_array_equal(excerpt.heard, heard)


def test_the_difference_is_against_the_other_stem():
    waves = {"same": 1.0, "softer": 0.9, "silent": 0.0}
    work = SimpleNamespace(scheme=PRESETS["live"][0])
    best = Take("offline", work, {stem: np.ones((2, 8), np.float32) for stem in waves})
    take = Take(
        "live",
        work,
        {stem: np.full((2, 8), level, np.float32) for stem, level in waves.items()},
    )
    levels = [take.difference_db(best, stem) for stem in waves]
    assert levels == pytest.approx([float("-inf"), -20, 0], abs=1e-3)
    assert isnan(take.difference_db(take, "silent"))
    assert comparison.summary([take, take])[1].split()[-1] == "silent"
