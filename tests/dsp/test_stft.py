"""Laws of the transform: it is the textbook's, and analysis then synthesis gives the music back."""

import numpy as np
import pytest
from scipy.signal import get_window

from stemd.dsp.scheme import HOP_LENGTH, N_BINS, N_FFT
from stemd.dsp.stft import Analysis, Synthesis, hann

RNG_SEED = 20


def noise(channels: int, hops: int) -> np.ndarray:
    rng = np.random.default_rng(RNG_SEED)
    return rng.standard_normal((channels, hops * HOP_LENGTH)).astype(np.float32)


def in_hops(x: np.ndarray) -> list[np.ndarray]:
    return [x[:, i : i + HOP_LENGTH] for i in range(0, x.shape[1], HOP_LENGTH)]


def test_window_is_periodic_hann():
    np.testing.assert_allclose(hann().ravel(), get_window("hann", N_FFT), atol=1e-7)


def test_spectrum_is_that_of_the_window_that_ends_with_the_hop():
    x = noise(2, 6)
    analysis = Analysis(2)
    out = np.full((2, N_BINS), np.nan, np.complex64)
    for k, hop in enumerate(in_hops(x), start=1):
        assert analysis.process(hop, out=out) is out
        heard = np.pad(x[:, : k * HOP_LENGTH], ((0, 0), (N_FFT, 0)))[:, -N_FFT:]
        expected = np.fft.rfft(heard.astype(np.float64) * get_window("hann", N_FFT))
        assert out.shape == expected.shape
        # k·eps of the sum of 4096 products; the values reach about 150
        np.testing.assert_allclose(out, expected, atol=2e-4)


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_synthesis_gives_back_what_was_analysed(channels):
    x = noise(channels, 12)
    before = x.copy()
    analysis, synthesis = Analysis(channels), Synthesis(channels)
    spectrum = np.empty((channels, N_BINS), np.complex64)
    hops = []
    for hop in in_hops(x):
        out = np.full((channels, HOP_LENGTH), np.nan, np.float32)
        assert synthesis.process(analysis.process(hop, out=spectrum), out=out) is out
        hops.append(out)
    y = np.concatenate(hops, axis=1)
    delay = Synthesis.latency
    assert not y[:, :delay].any() or np.abs(y[:, :delay]).max() < 1e-6
    np.testing.assert_allclose(y[:, delay:], x[:, :-delay], atol=4e-6)
    np.testing.assert_array_equal(x, before)


def test_silence_stays_silent():
    analysis, synthesis = Analysis(2), Synthesis(2)
    spectrum = np.empty((2, N_BINS), np.complex64)
    out = np.full((2, HOP_LENGTH), np.nan, np.float32)
    for _ in range(5):
        synthesis.process(
            analysis.process(np.zeros((2, HOP_LENGTH), np.float32), out=spectrum), out=out
        )
        assert not out.any()
