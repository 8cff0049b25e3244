import numpy as np
import pytest

from research.quality.scores import compare
from stemd.dsp.scheme import SAMPLERATE


def noise(seed: int, level: float = 0.1) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((2, 2 * SAMPLERATE))
    return (level * x).astype(np.float32)


def test_a_stem_that_sounds_has_every_ratio():
    vocals, music = noise(0), noise(1)
    estimate = 0.9 * vocals + noise(2, 1e-4)
    found = compare({"vocals": estimate}, {"vocals": vocals}, vocals + music)
    assert found["sdr"]["vocals"] == pytest.approx(20, abs=0.01)
    assert found["si_sdr"]["vocals"] > 55
    assert found["bss"]["vocals"] > 55
    assert not found["leak_dbfs"] and not found["silence"]


def test_a_stem_that_is_silent_leaks():
    music = noise(1)
    found = compare({"vocals": 0.1 * music}, {"vocals": 0 * music}, music)
    assert not found["sdr"]
    assert found["leak_dbfs"]["vocals"] == pytest.approx(-40, abs=0.1)
    assert found["leak_db"]["vocals"] == pytest.approx(-20, abs=0.1)
    assert found["silence"]["vocals"] == pytest.approx(-20, abs=0.1)


def test_pauses_count_by_themselves():
    vocals, music = noise(0), noise(1)
    vocals[:, SAMPLERATE:] = 0
    mixture = vocals + music
    found = compare({"vocals": vocals + 0.1 * music}, {"vocals": vocals}, mixture)
    assert found["silence"]["vocals"] == pytest.approx(-20, abs=0.1)
    assert found["sdr"]["vocals"] == pytest.approx(17, abs=0.1)


def test_stems_that_are_not_known_are_left_out():
    vocals, music = noise(0), noise(1)
    estimates = {"vocals": vocals + noise(2, 1e-4), "bass": music}
    found = compare(estimates, {"vocals": vocals}, vocals + music)
    assert found["sdr"].keys() == {"vocals"}
