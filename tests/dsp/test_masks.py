"""Laws of the masks: the official formula, shares that sum to one, silence shared equally."""

import numpy as np
import pytest

from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.masks import EPSILON, RatioMask, share_rest
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


def shared(stems: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a mixture, estimates of which none is louder, and the same when the rest is shared."""
    e = estimates(stems)
    mixture = e.max(axis=0) * np.float32(1.1) + np.float32(1e-3)
    after = e.copy()
    share_rest(after, mixture)
    return mixture, e, after


@pytest.mark.parametrize("stems", [2, 4])
def test_the_first_stem_gets_what_its_network_estimates(stems):
    mixture, e, after = shared(stems)
    masks = RatioMask(SPLEETER, stems, MaskExtension.MEAN).update(after)
    expected = (e[0].astype(np.float64) / mixture) ** 2
    found = masks[:, 0, :, :MODEL_BINS].swapaxes(1, 2)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_allclose(masks.sum(axis=1), 1, atol=1e-6)


def test_what_no_other_stem_claims_is_not_the_first_one_s():
    e = np.zeros((4, SPECTRA, MODEL_BINS, CHANNELS), np.float32)
    e[0] = 1
    share_rest(e, np.full_like(e[0], 2))
    masks = RatioMask(SPLEETER, 4, MaskExtension.MEAN).update(e)
    np.testing.assert_allclose(masks[:, 0], 1 / 4, rtol=1e-6)
    np.testing.assert_allclose(masks[:, 1:], 1 / 4, rtol=1e-6)


def test_the_others_keep_their_ratio():
    mixture, e, after = shared(4)
    np.testing.assert_array_equal(after[0], e[0])
    claimed = e[1:].min(axis=0) > 0.01
    for stem in (2, 3):
        found, expected = after[stem] / after[1], e[stem] / np.maximum(e[1], 1e-9)
        np.testing.assert_allclose(found[claimed], expected[claimed], rtol=1e-3)
    power = (after.astype(np.float64) ** 2).sum(axis=0)
    np.testing.assert_allclose(power, mixture.astype(np.float64) ** 2, rtol=1e-4)


@pytest.mark.parametrize("quiet", [0, 1e-30])
def test_of_silence_nothing_is_left(quiet):
    e = np.full((4, SPECTRA, MODEL_BINS, CHANNELS), quiet, np.float32)
    share_rest(e, np.full_like(e[0], quiet))
    masks = RatioMask(SPLEETER, 4, MaskExtension.MEAN).update(e)
    np.testing.assert_allclose(masks, 1 / 4, rtol=1e-6)


def test_a_first_stem_louder_than_the_mixture_leaves_nothing():
    e = estimates(4)
    share_rest(e, e[0] / 2)
    assert not e[1:].any()


@pytest.mark.parametrize("stem", [0, 2])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38, 1e19])
def test_of_a_bad_estimate_the_other_stems_share_its_bin(stem, bad):
    mixture, e, _ = shared(4)
    expected = e.copy()
    e[stem, 2, 7, 1], expected[stem, 2, 7, 1] = bad, 0
    masks = []
    for each in (expected, e):
        share_rest(each, mixture)
        mask = RatioMask(SPLEETER, 4, MaskExtension.MEAN)
        masks.append(mask.update(each).copy())
    np.testing.assert_allclose(*masks, atol=1e-9)
    assert mask.bad == 1
