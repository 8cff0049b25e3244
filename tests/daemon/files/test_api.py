"""stemd for Python programs: arrays, files and streams give the same stems."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import stemd
from songs import write_noise
from stemd.daemon.files import separator as module
from stemd.daemon.files.stem_files import origin_of
from stemd.dsp.scheme import Scheme
from two_networks import low_and_high

ROOT = Path(__file__).parents[3]
SCHEME = Scheme(T=128, B=128, A=0)


@pytest.fixture
def separator(monkeypatch):
    """With networks that cost nothing."""
    monkeypatch.setattr(module, "load_networks", lambda work: low_and_high(work.scheme))
    return stemd.Separator("2stems", preset="seed")


def noise(frames: int, channels: int = 2) -> np.ndarray:
    return 0.1 * np.random.default_rng(frames).standard_normal((channels, frames)).astype("f4")


@pytest.mark.parametrize("samplerate", [44_100, 48_000])
def test_arrays_files_and_streams_give_the_same_stems(separator, samplerate, tmp_path):
    x = noise(2 * samplerate)
    before = x.copy()
    soundfile.write(tmp_path / "song.wav", x.T, samplerate, subtype="FLOAT")
    whole = separator.separate(x, samplerate)
    assert tuple(whole) == separator.stems == ("vocals", "accompaniment")
    assert (whole.samplerate, whole.damage) == (samplerate, "")
    np.testing.assert_array_equal(x, before)
    if samplerate == 44_100:  # the resampled noise ends at 22.05 kHz
        np.testing.assert_allclose(sum(whole.values()), x, atol=1e-5)
    of_file = separator.separate(tmp_path / "song.wav")
    blocks = list(
        separator.stream((x[:, n : n + 999] for n in range(0, x.shape[1], 999)), samplerate)
    )
    for stem, samples in whole.items():
        assert samples.dtype == np.float32
        np.testing.assert_array_equal(of_file[stem], samples)
        np.testing.assert_array_equal(np.concatenate([each[stem] for each in blocks], 1), samples)


def test_blocks_that_a_stream_gave_are_the_callers(separator):
    blocks = separator.stream([noise(400_000)], 44_100)
    first = next(blocks)
    before = first["vocals"].copy()
    others = list(blocks)
    assert others
    np.testing.assert_array_equal(first["vocals"], before)
    assert not np.shares_memory(first["vocals"], others[0]["vocals"])


def test_mono_and_more_channels_are_stereo(separator):
    x = noise(9_000, 1)
    stems = separator.separate(x[0].astype("f8"), 44_100)
    np.testing.assert_allclose(sum(stems.values()), np.repeat(x, 2, axis=0), atol=1e-5)
    assert separator.separate(noise(9_000, 6), 44_100)["vocals"].shape == (2, 9_000)
    assert separator.separate(noise(0), 44_100)["vocals"].shape == (2, 0)


def test_stems_are_saved_as_the_command_does(separator, tmp_path):
    write_noise(tmp_path / "song.wav", 1)
    saved = separator.save(tmp_path / "song.wav", tmp_path / "stems", "flac", karaoke=True)
    assert saved.state == "separated"
    assert saved.stems == [str(tmp_path / "stems" / "karaoke.flac")]
    again = separator.save(
        tmp_path / "song.wav", tmp_path / "stems", "flac", karaoke=True, resume=True
    )
    assert (again.state, again.stems) == ("done already", [])


def _over_another_song(separator, folder):
    (folder / "vocals.wav").write_bytes(b"another song's")
    separator.save(folder / "song.wav", folder)


def _below_a_file(separator, folder):
    separator.save(folder / "song.wav", folder / "song.wav")


def _over_the_song(separator, folder):
    (folder / "song.wav").rename(folder / "vocals.wav")
    separator.save(folder / "vocals.wav", folder, replace=True)


def _where_a_folder_is(separator, folder):
    (folder / "vocals.wav").mkdir()
    separator.save(folder / "song.wav", folder, replace=True)


@pytest.mark.parametrize(
    ("save", "remedy"),
    [
        (_over_another_song, r"another folder \(folder=…\), or replace it \(replace=True\)"),
        (_below_a_file, r"it is no folder; give another folder \(folder=…\)"),
        (_over_the_song, r"overwrite the song itself, .* another folder \(folder=…\)"),
        (_where_a_folder_is, r"vocals.wav is a folder; give another folder \(folder=…\)"),
    ],
)
def test_messages_name_parameters_and_no_options(save, remedy, separator, tmp_path):
    write_noise(tmp_path / "song.wav", 1)
    with pytest.raises(stemd.AudioFileError, match=rf"{remedy}$"):
        save(separator, tmp_path)


def test_warnings_name_parameters_and_no_options(separator, tmp_path):
    soundfile.write(tmp_path / "loud.wav", 50 * noise(44_100).T, 44_100, subtype="FLOAT")
    saved = separator.save(tmp_path / "loud.wav", tmp_path / "stems", "flac")
    (warning,) = saved.warnings
    assert warning.endswith('were clipped: WAV of float samples keeps them (format="wav")')


def test_a_preset_of_several_schemes_is_the_one_that_this_machine_holds(
    separator, tmp_path, monkeypatch
):
    write_noise(tmp_path / "song.wav", 1)
    states = []
    for place in (-1, -1, 0):
        monkeypatch.setattr(module, "first_held", lambda works, place=place: works[place])
        live = stemd.Separator("2stems", preset="live")
        states.append(live.save(tmp_path / "song.wav", tmp_path / "stems", resume=True).state)
        assert str(live.work.scheme) in origin_of(tmp_path / "stems" / "vocals.wav")
    assert states == ["separated", "done already", "separated"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.separate(noise(99)), "samples do not say how many there are in a second"),
        (lambda s: s.separate(noise(99), 7), "samplerate=7: must be a whole number from 100"),
        (lambda s: s.separate(noise(99), "44100"), "samplerate='44100': must be a whole number"),
        (lambda s: list(s.stream([noise(99)], 1.5)), "samplerate=1.5: must be a whole number"),
        (lambda s: s.separate([0.0, 0.1], 44_100), r"\(got list\): .* numpy.asarray"),
        (lambda s: list(s.stream([[0.0]], 44_100)), r"NumPy array \(got list\): .* numpy.asarray"),
        (lambda s: s.save(noise(99), "stems"), r"must be a path, .*\(got ndarray\)"),
        (lambda _: stemd.Separator(threads=0), "threads=0: must be a whole number from 1 to 64"),
        (lambda _: stemd.Separator(threads=-1), "threads=-1: must be a whole number"),
        (lambda _: stemd.Separator(threads="2"), "threads='2': must be a whole number"),
        (lambda _: stemd.Separator(threads=1.5), "threads=1.5: must be a whole number"),
        (lambda _: stemd.Separator(threads=True), "threads=True: must be a whole number"),
        (lambda s: s.save("a", "b", only=["vocal"]), "no stem vocal; did you mean vocals?"),
        (lambda s: s.save("a", "b", "stem.mp4", only=["vocals"]), "holds every stem: choose no"),
        (lambda s: s.save("a", "b", "stem.mp4", karaoke=True), "holds every stem: choose no"),
        (lambda s: s.separate(noise(99).T, 44_100), r"samples of 99 channels: .* its transpose"),
        (
            lambda s: s.separate(np.zeros((2, 9), "i2"), 44_100),
            r"must be floats .*int16 \(2, 9\)\): .*32768",
        ),
        (lambda s: s.separate(np.zeros((1, 2, 9)), 44_100), r"must be floats .*\(1, 2, 9\)"),
        (lambda s: s.separate(np.full((2, 9), np.nan), 44_100), "some samples are not numbers"),
        (lambda s: s.save("song.wav", "stems", "aiff"), "format=aiff: there is no such format"),
        (lambda s: s.save("song.wav", "stems", "stem.mp4"), "the 2stems networks separate"),
        (
            lambda _: stemd.Separator(preset="x"),
            "preset=x: there is no such preset; .*seed",
        ),
        (lambda _: stemd.Separator("none"), "none"),
    ],
)
def test_what_cannot_be_is_one_clear_error(call, message, separator):
    with pytest.raises(stemd.ConfigError, match=message):
        call(separator)


def test_a_song_that_cannot_be_read_is_an_error(separator, tmp_path):
    with pytest.raises(stemd.AudioFileError, match="there is no such file"):
        separator.separate(tmp_path / "song.wav")


def test_the_package_imports_nothing_until_it_is_used():
    code = (
        "import stemd, sys\n"
        "print([name for name in sys.modules if name.startswith(('stemd.', 'numpy'))])\n"
        "from stemd import ModelError, StemdError, separate\n"
        "print(separate.__module__, hasattr(stemd, 'nothing'))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["[]", "stemd.daemon.files.api False"]


def test_the_examples_of_the_page_run(tmp_path, monkeypatch, capsys):
    """With the bundled networks, one after the other."""
    page = (ROOT / "docs" / "api.md").read_text()
    examples = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(examples) == 6
    write_noise(tmp_path / "song.wav", 1)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, "docs/api.md", "exec"), names)
    assert Path("vocals.wav").exists()
    assert os.listdir("stems") == ["vocals.wav"]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "44100 (2, 44100)"
    assert said[-1] == "cannot read nowhere.wav: there is no such file"
