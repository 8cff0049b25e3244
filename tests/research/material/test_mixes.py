from dataclasses import dataclass

import numpy as np
import pytest

from research.material import mixes
from research.material.mixes import RECIPES, SECONDS, Recipe
from stemd.dsp.scheme import CHANNELS, SAMPLERATE


@dataclass(frozen=True)
class NoisyPiece:
    def excerpt(self, start_s: float, seconds: float) -> np.ndarray:
        rng = np.random.default_rng(round(start_s))
        return rng.standard_normal((CHANNELS, round(seconds * SAMPLERATE))).astype(np.float32)


@dataclass(frozen=True)
class NoisyVoice:
    def perform(self) -> np.ndarray:
        return np.random.default_rng(9).standard_normal(50_000).astype(np.float32)


def made(level_db: float, pan: float = 0.0) -> mixes.Mix:
    return mixes._make(Recipe("noise", NoisyPiece(), 1, NoisyVoice(), level_db, pan))


@pytest.mark.parametrize("level_db", [-3, 0, 2])
def test_vocals_have_the_stated_level(level_db):
    mix = made(level_db)
    ratio = np.mean(mix.vocals.astype(float) ** 2) / np.mean(mix.accompaniment.astype(float) ** 2)
    assert 10 * np.log10(ratio) == pytest.approx(level_db, abs=1e-3)
    assert np.abs(mix.mixture).max() == pytest.approx(mixes.PEAK, rel=1e-5)
    assert mix.mixture.shape == (CHANNELS, SECONDS * SAMPLERATE)


def test_making_it_twice_gives_the_same():
    np.testing.assert_array_equal(made(0).mixture, made(0).mixture)


def test_pan_goes_to_the_right():
    left, right = np.sqrt(np.mean(made(0, 0.3).vocals.astype(float) ** 2, axis=1))
    assert right > left


def test_a_mix_is_kept_and_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(mixes, "cache_folder", lambda: tmp_path)
    recipe = Recipe("noise", NoisyPiece(), 1, NoisyVoice(), 0, 0.1)
    first = mixes.build_mix(recipe)
    monkeypatch.delattr(mixes, "_make")
    again = mixes.build_mix(recipe)
    np.testing.assert_array_equal(again.vocals, first.vocals)
    np.testing.assert_array_equal(again.accompaniment, first.accompaniment)


def test_songs_and_voices_differ():
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES) >= 8
    assert len({recipe.piece for recipe in RECIPES}) == len(RECIPES)
    assert len({recipe.voice for recipe in RECIPES}) == len(RECIPES)
