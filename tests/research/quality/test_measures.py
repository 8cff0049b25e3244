import numpy as np
import pytest
from scipy.signal import lfilter

from research.quality.measures import bss_sdr_db, sdr_db


def noise(seed: int, frames: int = 44_100) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((2, frames)).astype(np.float32)


@pytest.mark.parametrize(("gain", "expected"), [(0.9, 20), (0.99, 40), (2, 0), (-1, -6.0206)])
def test_plain_sdr_counts_level(gain, expected):
    assert sdr_db(noise(0), gain * noise(0)) == pytest.approx(expected, abs=1e-3)


def test_plain_sdr_is_of_both_channels_together():
    truth = np.ones((2, 1000), np.float32)
    estimate = truth * np.array([[1], [0.9]], np.float32)
    assert sdr_db(truth, estimate) == pytest.approx(20 + 10 * np.log10(2), abs=1e-3)


@pytest.mark.parametrize("level_db", [10, 30])
def test_bss_sdr_is_the_level_of_foreign_noise(level_db):
    estimate = noise(0) + 10 ** (-level_db / 20) * noise(1)
    # The filter of 512 taps explains a little of the noise: about 512 / 44100 of it.
    assert bss_sdr_db(noise(0), estimate) == pytest.approx(level_db, abs=0.15)


def test_bss_sdr_forgives_a_filter_and_plain_sdr_does_not():
    filtered = lfilter([0.5, 0.3, -0.2], [1], noise(0)).astype(np.float32)
    assert bss_sdr_db(noise(0), filtered) > 40
    assert sdr_db(noise(0), filtered) < 5
