"""Laws of the masks: the official formula, shares that sum to one, silence shared equally."""

import numpy as np
import pytest

from stemd.dsp.masks import EPSILON, MaskExtension, RatioMask
from stemd.dsp.scheme import CHANNELS, MAX_HOPS, SPLEETER

MODEL_BINS, N_BINS = SPLEETER.model_bins, SPLEETER.n_bins

SPECTRA = 5


def estimates(stems: int) -> np.ndarray:
    rng = np.random.default_rng(stems)
    return rng.gamma(0.3, 10.0, (stems, SPECTRA, MODEL_BINS, CHANNELS)).astype(np.float32)


@pytest.mark.parametrize("extension", MaskExtension)
@pytest.mark.parametrize("stems", [2, 4])
def test_masks_are_the_official_ratio(stems, extension):
    e = estimates(stems).astype(np.float64)
    expected = (e**2 + EPSILON / stems) / ((e**2).sum(axis=0) + EPSILON)
    masks = RatioMask(SPLEETER, stems, extension).update(e.astype(np.float32))
    assert masks.shape == (SPECTRA, stems, CHANNELS, N_BINS)
    np.testing.assert_allclose(masks[..., :MODEL_BINS], expected.transpose(1, 0, 3, 2), rtol=1e-5)


@pytest.mark.parametrize("stems", [2, 4])
def test_masks_with_mean_extension_sum_to_one_in_every_bin(stems):
    masks = RatioMask(SPLEETER, stems, MaskExtension.MEAN).update(estimates(stems))
    np.testing.assert_allclose(masks.sum(axis=1), 1, atol=1e-6)


def test_mean_extension_is_the_mean_of_the_bins_below():
    masks = RatioMask(SPLEETER, 2, MaskExtension.MEAN).update(estimates(2))
    mean = masks[..., :MODEL_BINS].mean(axis=-1, dtype=np.float64)
    for high in (MODEL_BINS, N_BINS - 1):
        np.testing.assert_allclose(masks[..., high], mean, rtol=1e-5)


def test_zeros_extension_is_zero():
    mask = RatioMask(SPLEETER, 2, MaskExtension.ZEROS)
    assert not mask.newest[..., MODEL_BINS:].any()
    assert not mask.update(estimates(2))[..., MODEL_BINS:].any()


@pytest.mark.parametrize("stems", [2, 4])
def test_silence_is_shared_equally(stems):
    mask = RatioMask(SPLEETER, stems, MaskExtension.MEAN)
    np.testing.assert_allclose(mask.newest, 1 / stems)
    masks = mask.update(np.zeros((stems, SPECTRA, MODEL_BINS, CHANNELS), np.float32))
    np.testing.assert_allclose(masks, 1 / stems, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf, 3e38, 1e19])
@pytest.mark.parametrize("stems", [2, 4])
def test_an_estimate_that_is_none_counts_as_nothing_and_leaves_no_trace(stems, bad):
    e = estimates(stems)
    e[0, 2, 7, 1] = bad
    mask = RatioMask(SPLEETER, stems, MaskExtension.MEAN)
    masks = mask.update(e).copy()
    assert mask.bad == 1
    e[0, 2, 7, 1] = 0
    np.testing.assert_array_equal(masks, RatioMask(SPLEETER, stems, MaskExtension.MEAN).update(e))
    e[:] = bad
    np.testing.assert_allclose(mask.update(e), 1 / stems, rtol=1e-6)
    assert np.isfinite(mask.newest).all(), "held while the networks are late"


@pytest.mark.parametrize("extension", MaskExtension)
@pytest.mark.parametrize("stems", [2, 4])
def test_several_spectra_get_the_masks_that_each_gets_alone(stems, extension):
    e = np.resize(estimates(stems), (stems, MAX_HOPS, MODEL_BINS, CHANNELS))
    alone = RatioMask(SPLEETER, stems, extension)
    expected = [alone.update(e[:, n : n + 1])[0].copy() for n in range(MAX_HOPS)]
    for first, count in ((0, MAX_HOPS), (1, 3), (4, 1)):
        together = RatioMask(SPLEETER, stems, extension)
        masks = together.update(e[:, first : first + count])
        np.testing.assert_array_equal(masks, expected[first : first + count])
        np.testing.assert_array_equal(together.newest, expected[first + count - 1])


def test_update_leaves_its_input_alone():
    e = estimates(4)
    before = e.copy()
    RatioMask(SPLEETER, 4, MaskExtension.MEAN).update(e)
    np.testing.assert_array_equal(e, before)
