import numpy as np
import pytest

from research.quality.measures import (
    bss_sdr_db,
    power_db,
    sdr_db,
    share_in_silence_db,
    si_sdr_db,
    summary,
)


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
    from scipy.signal import lfilter  # it takes a second

    filtered = lfilter([0.5, 0.3, -0.2], [1], noise(0)).astype(np.float32)
    assert bss_sdr_db(noise(0), filtered) > 40
    assert sdr_db(noise(0), filtered) < 5


@pytest.mark.parametrize("gain", [0.1, 1, 3])
def test_scale_invariant_sdr_forgives_a_level_but_no_noise(gain):
    estimate = gain * (noise(0) + 0.1 * noise(1))
    assert si_sdr_db(noise(0), estimate) == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("rms", [1, 0.01])
def test_power_is_the_rms_in_dbfs(rms):
    level = power_db(np.full((2, 100), rms, np.float32))
    assert level == pytest.approx(20 * np.log10(rms), abs=1e-6)
    assert power_db(np.zeros((2, 100), np.float32)) == -120


def test_share_in_silence_is_of_the_silent_pieces_alone():
    truth = noise(0, 88_200)
    truth[:, :44_100] = 0
    mixture = noise(1, 88_200)
    estimate = mixture * np.where(np.arange(88_200) < 44_100, 0.1, 1).astype(np.float32)
    assert share_in_silence_db(truth, estimate, mixture) == pytest.approx(-20, abs=0.01)


def test_summary_names_the_worst_on_either_side():
    values = [float(n) for n in range(20)]
    more, less = summary([*values, float("nan")]), summary(values, best=float("-inf"))
    assert (more["mixes"], more["mean"], more["median"]) == (20, 9.5, 9.5)
    assert more["error"] == pytest.approx(np.std(values, ddof=1) / np.sqrt(20))
    assert (more["worst_tenth"], more["worst"]) == (0.5, 0)
    assert (less["worst_tenth"], less["worst"]) == (18.5, 19)
    assert summary([]) == {"mixes": 0}
