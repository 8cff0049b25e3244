import numpy as np
import pytest
import soundfile

from research.material import recorded
from research.material.recorded import Recipe, Song, build, half_of, recipes, songs
from research.material.voices import MaterialError
from stemd.dsp.scheme import SAMPLERATE


def test_no_artist_is_in_both_halves():
    halves = recorded._read()["halves"]
    artists = [artist for half in halves.values() for artist in half]
    assert len(set(artists)) == len(artists)
    assert {song.artist for song in songs().values()} == set(artists)
    for recipe in recipes():
        assert {half_of(song) for song in recipe.songs} == {recipe.half}


def test_each_half_has_mixes_of_every_kind():
    assert len({recipe.name for recipe in recipes()}) == len(recipes()) >= 40
    assert {song.name for recipe in recipes() for song in recipe.songs} == songs().keys()
    for half in ("decide", "report"):
        kinds = [recipe.kind for recipe in recipes() if recipe.half == half]
        assert all(kinds.count(kind) >= 6 for kind in ("recorded", "crossed", "instrumental"))
        assert kinds.count("whole") >= 6


def test_what_may_not_be_learnt_from_is_told():
    for song in songs().values():
        assert song.use in ("learn", "measure", "restricted")
        assert not (song.use == "learn" and ("NC" in song.licence or "ND" in song.licence))
        assert set(song.known) <= set(song.parts) & set(recorded.STEMS)


def make(folder, name, known, seconds=8.0, **levels):
    """Write a song of noise, each part at its RMS."""
    rng = np.random.default_rng(len(name))
    (folder / name).mkdir()
    for part, level in levels.items():
        noise = level * rng.standard_normal((round(seconds * SAMPLERATE), 2))
        soundfile.write(folder / name / f"{part}.wav", noise, SAMPLERATE, subtype="FLOAT")
    return Song(name, "us", "", "CC0", "learn", "", tuple(levels), known)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("STEMD_MATERIAL", f"/nowhere:{tmp_path}")
    return tmp_path


def test_a_song_is_the_sum_of_its_parts(folder):
    song = make(folder, "song", ("vocals", "drums"), vocals=0.1, drums=0.2, guitar=0.05)
    mix = build(Recipe("decide", "recorded", song, 1.5))
    assert mix.truths.keys() == {"vocals", "drums", "accompaniment"}
    assert mix.mixture.shape == (2, round(6.5 * SAMPLERATE))
    np.testing.assert_array_equal(mix.mixture, mix.truths["vocals"] + mix.truths["accompaniment"])
    drums, _ = soundfile.read(folder / "song/drums.wav", start=round(1.5 * SAMPLERATE))
    np.testing.assert_allclose(mix.truths["drums"], drums.T, atol=1e-6)


def test_an_instrumental_is_a_song_whose_vocals_are_silent(folder):
    song = make(folder, "song", ("vocals",), vocals=0.1, accompaniment=0.2)
    mix = build(Recipe("decide", "instrumental", song, 0))
    assert not mix.truths["vocals"].any()
    np.testing.assert_array_equal(mix.mixture, mix.truths["accompaniment"])


@pytest.mark.parametrize("level", [-2, 0, 3])
def test_a_singer_has_the_stated_loudness_over_other_music(folder, level):
    music = make(folder, "music", ("drums",), drums=0.4, guitar=0.1)
    singer = make(folder, "singer", ("vocals",), seconds=5, vocals=0.01)
    mix = build(Recipe("decide", "crossed", music, 0, singer, 1, level))
    loudness = {stem: recorded._loudness(x) for stem, x in mix.truths.items()}
    assert loudness["vocals"] - loudness["accompaniment"] == pytest.approx(level, abs=0.1)
    assert recorded._loudness(mix.mixture) < recorded.LOUDNESS_LUFS + 0.1
    assert np.abs(mix.mixture).max() < recorded.PEAK + 1e-3
    assert mix.mixture.shape == (2, 4 * SAMPLERATE)
    np.testing.assert_allclose(
        mix.mixture, mix.truths["vocals"] + mix.truths["accompaniment"], atol=1e-6
    )


def test_of_a_song_without_parts_no_stem_is_known(folder):
    soundfile.write(folder / "song.flac", np.full((SAMPLERATE, 1), 0.25), SAMPLERATE)
    mix = build(Recipe("report", "whole", Song("song", "us", "", "CC0", "learn", ""), 0))
    assert mix.truths == {}
    np.testing.assert_allclose(mix.mixture, 0.25, atol=1e-4)


def test_a_song_that_is_not_there_is_named(folder):
    song = Song("song", "us", "", "CC0", "learn", "", ("vocals",))
    with pytest.raises(MaterialError, match="no vocals of song in STEMD_MATERIAL"):
        build(Recipe("report", "instrumental", song, 0))
