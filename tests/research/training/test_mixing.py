"""Mixtures are new each time, and the same again for the same number."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from research.training.mixing import USUAL, Augmentation, Mixer, _coded, _driven, _equaliser, _room
from research.training.tracks import RECORDING

FRAMES = 30_000
ALWAYS = Augmentation(driven=1, equalised=1, reverberant=1, coded=1, silent=0, sung=1)
PLAIN = Augmentation(
    driven=0, equalised=0, reverberant=0, coded=0, silent=0, sung=1, transposition=0
)


def test_a_batch_is_a_function_of_seed_and_number(tmp_path, tracks):
    mixer = Mixer(tmp_path, tracks, 1)
    first = mixer.batch(5, 2, FRAMES)
    mixer.batch(6, 2, FRAMES)
    np.testing.assert_array_equal(Mixer(tmp_path, tracks, 1).batch(5, 2, FRAMES), first)
    for other in (mixer.batch(6, 2, FRAMES), Mixer(tmp_path, tracks, 2).batch(5, 2, FRAMES)):
        assert not np.array_equal(other, first)


@pytest.mark.parametrize("chances", [ALWAYS, PLAIN, Augmentation()], ids=["all", "none", "usual"])
def test_mixtures_are_finite_and_do_not_clip(tmp_path, tracks, chances):
    batch = Mixer(tmp_path, tracks, 1, chances).batch(0, 3, FRAMES)
    assert (batch.shape, batch.dtype) == ((3, 4, 2, FRAMES), np.float32)
    assert np.isfinite(batch).all()
    peaks = np.abs(batch.sum(1)).max((1, 2))
    assert (peaks < 1.001).all()
    assert (peaks > 0.19).all()


def test_stems_pause_and_nobody_sings_where_that_is_wanted(tmp_path, tracks):
    chances = Augmentation(silent=0, sung=0)
    batch = Mixer(tmp_path, tracks, 1, chances).batch(0, 3, FRAMES)
    assert not batch[:, 0].any()
    assert batch[:, 1:].any((2, 3)).all()
    assert not Mixer(tmp_path, tracks, 1, Augmentation(silent=1, sung=0)).batch(0, 1, FRAMES).any()


def test_an_amplifier_that_distorts_changes_the_peaks_but_not_the_loudness():
    rng = np.random.default_rng(1)
    x = (0.1 * rng.standard_normal((2, 10_000))).astype(np.float32)
    for decibels in (6, 30):
        driven = _driven(rng, x, (decibels, decibels))
        assert np.square(driven).mean() == pytest.approx(np.square(x).mean(), rel=1e-4)
        assert np.abs(driven).max() < 0.8 * np.abs(x).max()
    assert not _driven(rng, np.zeros_like(x), (6, 30)).any()


def test_an_equaliser_gives_each_octave_its_decibels():
    dice = np.random.default_rng(1)
    gains_db = [20 * np.log10(_equaliser(dice, 22_051, 4.0)) for _ in range(400)]
    at_hertz = np.array([gain_db[[40, 16_000]] for gain_db in gains_db])
    np.testing.assert_allclose(at_hertz.std(0), 4, rtol=0.1)
    np.testing.assert_allclose(at_hertz.mean(0), 0, atol=0.6)
    assert np.abs(np.diff(gains_db[0][20:])).max() < 1  # from one hertz to the next


def test_a_room_answers_at_its_level_and_falls_by_60_db_in_its_time():
    room = _room(np.random.default_rng(1), replace(USUAL, reverberation_s=(1, 1)))
    decibels = 10 * np.log10(np.square(room).sum(1).mean())
    assert USUAL.reverberation_db[0] <= decibels <= USUAL.reverberation_db[1]
    early, late = (np.square(room[:, at : at + 4410]).mean() for at in (0, 22_050))
    assert 10 * np.log10(early / late) == pytest.approx(30, abs=1)


def test_a_room_is_heard_with_the_sound_and_what_was_before_sounds_on(tmp_path, tracks):
    beat = np.zeros(3 * 44_100)
    beat[45_000] = 1
    soundfile.write(tmp_path / tracks[1].file, beat, 44_100)
    loud = (-3.0, -3.0)
    for reverberant in (0, 1):
        chances = replace(PLAIN, reverberant=reverberant, reverberation_db=loud)
        mixer = Mixer(tmp_path, tracks, 1, chances)
        whole = mixer._played(np.random.default_rng(2), tracks[1], 0.0, 1.0, 44_100)
        at = 45_000 - 44_100 // 4
        energy = np.square(whole).sum(1)
        assert np.abs(whole[:, at]).min() > 0.2  # the sound itself
        rest = (energy - np.square(whole[:, at])) / np.square(whole[:, at])
        assert (rest > 0.3).all() if reverberant else (rest < 1e-6).all()
        just_before = 40_000 / (3 * 44_100 - 44_100 - 44_100 // 4)
        after = mixer._played(np.random.default_rng(2), tracks[1], just_before, 1.0, 44_100)
        assert after.any() == bool(reverberant)


def test_a_codec_changes_the_sound_but_not_its_level():
    x = np.stack([np.sin(np.arange(44_100) * w) for w in (0.05, 0.08)]).astype(np.float32)
    dice = np.random.default_rng(1)
    for gain in (0.01, 0.5):
        for _ in range(6):
            coded = _coded(dice, gain * x)
            assert not np.array_equal(coded, gain * x)
            likeness = np.vdot(coded, x) / np.vdot(x, x)
            assert likeness == pytest.approx(gain, rel=0.05)


def test_nothing_is_longer_or_shorter_than_asked(tmp_path, tracks):
    for frames in (4096, 3 * 44_100 + 5000):  # longer than the files
        assert Mixer(tmp_path, tracks, 1, ALWAYS).batch(0, 1, frames).shape[-1] == frames


def test_parts_of_one_song_are_heard_at_one_time_and_speed(tmp_path, tracks):
    sound = 0.2 * np.random.default_rng(1).standard_normal(3 * 44_100)
    for track in tracks:
        soundfile.write(tmp_path / track.file, sound, 44_100)
    plain = replace(PLAIN, transposition=1.5, sung=0)
    for together in (True, False):
        mixer = Mixer(tmp_path, tracks, 1, replace(plain, together=together))
        for _, drums, bass, other in mixer.batch(0, 4, FRAMES):
            for each in (bass, other):
                likeness = abs(np.corrcoef(drums[0], each[0])[0, 1])
                assert likeness > 0.99 if together else likeness < 0.5


def test_a_song_keeps_its_own_balance_or_has_all_parts_equally_loud(tmp_path, tracks):
    sound = 0.2 * np.random.default_rng(1).standard_normal(3 * 44_100)
    soft = [replace(t, gain=0.01) if t.stem == "drums" else t for t in tracks]
    for track in soft:
        soundfile.write(tmp_path / track.file, sound, 44_100)
    plain = replace(PLAIN, together=1, level_db=0, sung=0)
    for share in (0, 1):
        mixer = Mixer(tmp_path, soft, 1, replace(plain, balance=share))
        for _, drums, bass, _ in mixer.batch(0, 4, FRAMES):
            ratio = np.sqrt(np.square(bass).mean() / np.square(drums).mean())
            # Their width changes by chance, and that changes how loud they are.
            assert (30 if share else 0.3) < ratio < (300 if share else 3)


def test_a_voice_of_the_song_sings_with_it(tmp_path, tracks):
    sound = 0.2 * np.random.default_rng(1).standard_normal(3 * 44_100)
    for track in tracks:
        soundfile.write(tmp_path / track.file, sound, 44_100)
    mixer = Mixer(tmp_path, tracks, 1, replace(PLAIN, transposition=1.5, together=1))
    for vocals, drums, *_ in mixer.batch(0, 4, FRAMES):
        assert abs(np.corrcoef(vocals[0], drums[0])[0, 1]) > 0.99


def test_a_recording_is_alone_in_its_mixture(tmp_path, tracks):
    band = replace(tracks[0], stem="other", player=RECORDING, song="band")
    for share in (0, 1):
        mixer = Mixer(tmp_path, [*tracks, band], 1, replace(PLAIN, silent=0, recorded=share))
        heard = mixer.batch(0, 4, FRAMES).any((2, 3))
        assert (heard == ([False, False, False, True] if share else True)).all()
    without = Mixer(tmp_path, tracks, 1, replace(PLAIN, silent=0, recorded=1))
    assert without.batch(0, 1, FRAMES).any((2, 3)).all()
