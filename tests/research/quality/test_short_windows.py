import numpy as np
import pytest

from research.quality import sliding
from research.quality.short_windows import asymmetric_pair, hann_pair, spectra_of, waveform_of
from research.quality.variants import at_times
from stemd.dsp.scheme import HOP_LENGTH, N_FFT

X = np.random.default_rng(0).standard_normal((2, 20 * HOP_LENGTH)).astype(np.float32)
PAIRS = [hann_pair(), asymmetric_pair(2048), asymmetric_pair(1024)]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: str(pair.length))
def test_pairs_reconstruct(pair):
    y = waveform_of(spectra_of(X, pair), pair)
    assert y.shape[1] >= X.shape[1] - pair.length
    np.testing.assert_allclose(y, X[:, : y.shape[1]], atol=5e-6)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: str(pair.length))
def test_only_the_newest_frames_are_synthesised(pair):
    assert not pair.synthesis[: N_FFT - pair.length].any()
    assert pair.synthesis[N_FFT - pair.length + 1 :].all()


def test_hann_pair_is_the_programs():
    np.testing.assert_array_equal(spectra_of(X, hann_pair()), sliding.analyse(X))


@pytest.mark.parametrize("length", [2048, 1024])
def test_no_mask_is_used_before_it_is_known(length):
    pair = asymmetric_pair(length)
    count = 40
    masks = np.arange(20, dtype=np.float32)[:, None, None]
    used = at_times(masks, pair, count, 0)[:, 0, 0]
    ends = (np.arange(count) + 1) * pair.hop
    known = ends // HOP_LENGTH - 1
    np.testing.assert_array_equal(used, np.clip(known, 0, 19))
