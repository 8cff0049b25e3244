"""Only what may be learnt from is, and no second that is scored."""

import numpy as np
import pytest
import soundfile

from research.material.recorded import MATERIAL, half_of, recipes, songs
from research.quality.estimates import FIRST, LAST
from research.training import free_music
from research.training.free_music import allowed, gather, stretches
from research.training.tracks import OWN, RECORDING
from stemd.dsp.scheme import SAMPLERATE, SPLEETER

SECONDS = 300


@pytest.fixture
def material(tmp_path, monkeypatch):
    """Noise in place of two of the songs, one of them with a singer."""
    rng = np.random.default_rng(1)
    for part in (
        "sodium/vocals",
        "sodium/drums",
        "sodium/bass",
        "sodium/other",
        "los-rombos-fantasma",
    ):
        path = tmp_path / "songs" / f"{part}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        x = 0.1 * rng.standard_normal((40 * SAMPLERATE, 2))
        if "vocals" in part:
            x[: 20 * SAMPLERATE] = 0
        soundfile.write(path, x, SAMPLERATE)
    names = ("sodium", "los-rombos-fantasma")
    monkeypatch.setenv(MATERIAL, str(tmp_path / "songs"))
    monkeypatch.setattr(free_music, "allowed", lambda: [songs()[name] for name in names])
    monkeypatch.setattr(free_music, "record_all", lambda _: [])
    return tmp_path


def test_only_what_the_licence_permits_and_what_decides_is_learnt_from():
    assert len(allowed()) > 10
    for song in allowed():
        assert song.use == "learn"
        assert half_of(song) == "decide"


@pytest.mark.parametrize("song", allowed(), ids=lambda song: song.name)
def test_no_second_that_is_scored_is_learnt_from(song):
    hop_s = SPLEETER.hop_length / SAMPLERATE
    learnt = list(stretches(song, SECONDS))
    assert learnt
    for recipe in recipes():
        for each, at in ((recipe.music, recipe.at), (recipe.vocals, recipe.vocals_at)):
            if each == song:
                first, last = at + FIRST * hop_s, at + LAST * hop_s
                assert all(end <= first or begin >= last for begin, end in learnt)


def test_singers_are_to_be_mixed_anew_and_songs_are_heard_whole(material):
    tracks = gather(material / "made")
    assert {(track.player, track.stem) for track in tracks if track.song == "sodium"} == {
        (OWN, "vocals"), (OWN, "other"), (RECORDING, "other"),
    }  # fmt: skip
    assert {track.player for track in tracks if track.song == "los-rombos-fantasma"} == {RECORDING}
    sung = [track for track in tracks if track.stem == "vocals"]
    assert len(sung) == free_music.SINGERS
    for track in sung:  # pauses are left out
        x, _ = soundfile.read(material / "made" / track.file)
        assert np.square(x).mean() > 0
