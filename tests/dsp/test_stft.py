"""Laws of the transform: it is the textbook's, and analysis then synthesis gives the music back."""

import platform

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dsp_reference
from grids import GRIDS
from stemd.dsp.scheme import MAX_HOPS, SPLEETER, Grid
from stemd.dsp.stft import Analysis, Synthesis, hann

HOP_LENGTH, N_BINS = SPLEETER.hop_length, SPLEETER.n_bins
SHARED = SPLEETER.n_fft - SPLEETER.hop_length

RNG_SEED = 20


def noise(channels: int, hops: int, grid: Grid = SPLEETER) -> np.ndarray:
    rng = np.random.default_rng(RNG_SEED)
    return rng.standard_normal((channels, hops * grid.hop_length)).astype(np.float32)


def in_hops(x: np.ndarray, grid: Grid) -> list[np.ndarray]:
    return np.split(x, x.shape[1] // grid.hop_length, axis=1)


on_each_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)


@on_each_grid
def test_window_is_periodic_hann(grid):
    np.testing.assert_allclose(hann(grid.n_fft), dsp_reference.hann(grid.n_fft), atol=1e-7)


@on_each_grid
def test_spectrum_is_that_of_the_window_that_ends_with_the_hop(grid):
    x, n_fft = noise(2, 6, grid), grid.n_fft
    analysis = Analysis(grid, 2)
    for k, hop in enumerate(in_hops(x, grid), start=1):
        out = np.full((1, 2, grid.n_bins), np.nan, np.complex64)
        assert analysis.process(hop, out=out) is out
        heard = np.pad(x[:, : k * grid.hop_length], ((0, 0), (n_fft, 0)))[:, -n_fft:]
        expected = np.fft.rfft(heard.astype(np.float64) * dsp_reference.hann(n_fft))
        # k·eps of the sum of 4096 products; the values reach about 150
        np.testing.assert_allclose(out, expected[np.newaxis], atol=2e-4)


@on_each_grid
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_synthesis_gives_back_what_was_analysed(channels, grid):
    x = noise(channels, 12, grid)
    before = x.copy()
    analysis, synthesis = Analysis(grid, channels), Synthesis(grid, channels)
    spectrum = np.empty((1, channels, grid.n_bins), np.complex64)
    hops = []
    for hop in in_hops(x, grid):
        out = np.full((channels, grid.hop_length), np.nan, np.float32)
        assert synthesis.process(analysis.process(hop, out=spectrum), out=out) is out
        hops.append(out)
    y = np.concatenate(hops, axis=1)
    delay = synthesis.latency
    assert not y[:, :delay].any() or np.abs(y[:, :delay]).max() < 1e-6
    np.testing.assert_allclose(y[:, delay:], x[:, :-delay], atol=4e-6)
    np.testing.assert_array_equal(x, before)


def transform(x: np.ndarray, sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Spectra and what is synthesised from them, so many hops at a time."""
    channels = len(x)
    analysis, synthesis = Analysis(SPLEETER, channels), Synthesis(SPLEETER, channels)
    spectra = np.full((sum(sizes), channels, N_BINS), np.nan, np.complex64)
    y = np.full((channels, sum(sizes) * HOP_LENGTH), np.nan, np.float32)
    done = 0
    for size in sizes:
        hops, frames = (slice(done * u, (done + size) * u) for u in (1, HOP_LENGTH))
        now = analysis.process(x[:, frames], out=spectra[hops])
        assert np.shares_memory(synthesis.process(now if now.any() else None, y[:, frames]), y)
        done += size
    return spectra, y


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(st.integers(1, MAX_HOPS), min_size=1, max_size=8),
    channels=st.sampled_from([1, 2, 8]),
    silent=st.sets(st.integers(0, 63)),
)
def test_several_hops_together_give_what_each_gives_alone(sizes, channels, silent):
    x = noise(channels, sum(sizes))
    for hop in silent:
        x[:, hop * HOP_LENGTH : (hop + 1) * HOP_LENGTH] = 0
    spectra, y = transform(x, sizes)
    spectra_alone, y_alone = transform(x, [1] * sum(sizes))
    # On ARM, NumPy's transform of several rows at once is rounded otherwise than that of one.
    rounding = 0 if platform.machine() == "x86_64" else 1e-6 * np.abs(spectra).max()
    np.testing.assert_allclose(spectra, spectra_alone, rtol=0, atol=rounding)
    np.testing.assert_allclose(y, y_alone, rtol=0, atol=rounding)


@pytest.mark.parametrize("size", [1, MAX_HOPS])
def test_silence_is_not_transformed_and_stays_silent(size, monkeypatch):
    for name in ("rfft", "irfft"):
        monkeypatch.setattr(np.fft, name, lambda *_, **__: pytest.fail("transformed"))
    for output in transform(np.zeros((2, 3 * size * HOP_LENGTH), np.float32), 3 * [size]):
        assert output.size
        assert not output.any()


@pytest.mark.parametrize("place", [0, 1, HOP_LENGTH - 1, 2 * HOP_LENGTH + 77])
@pytest.mark.parametrize("channel", [0, 1])
def test_one_sample_is_no_silence(place, channel):
    x = np.zeros((2, 8 * HOP_LENGTH), np.float32)
    x[channel, place] = 1e-30
    for sizes in ([1] * 8, [8]):
        _, y = transform(x, sizes)
        assert np.flatnonzero(y.any(axis=0)).size
        np.testing.assert_allclose(y[:, SHARED:], x[:, :-SHARED], atol=1e-36)
