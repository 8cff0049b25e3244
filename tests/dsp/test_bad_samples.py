"""What is not finite leaves no trace beyond the span that it belongs to."""

import numpy as np
import pytest

from stemd.dsp.banks import InTurn
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.pipeline import Pipeline
from stemd.dsp.scheme import Scheme
from stemd.dsp.separator import Separator

SCHEME = Scheme(T=64, B=3, A=2, mirror=4)


def pipeline(samplerate: int, bad: float, residual: bool) -> Pipeline:
    """The second block's estimate of the first stem has one bad magnitude."""
    blocks = iter(range(1000))

    def vocals(window, out):
        out[:] = 0.5 * window[SCHEME.heard - SCHEME.A - SCHEME.B : SCHEME.heard - SCHEME.A]
        if next(blocks) == 1:
            out[1, 100, 0] = bad

    def accompaniment(window, out):
        out[:] = 2 * window[SCHEME.heard - SCHEME.A - SCHEME.B : SCHEME.heard - SCHEME.A]

    networks = InTurn([vocals] if residual else [vocals, accompaniment])
    return Pipeline(
        Separator(SCHEME, 2, networks, MaskExtension.MEAN, residual=residual), samplerate
    )


def played(pipeline: Pipeline, x: np.ndarray) -> np.ndarray:
    return np.concatenate([out.copy() for out in pipeline.process(x)], axis=1)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("samplerate", [22_050, 44_100, 48_000])
def test_a_bad_estimate_never_reaches_the_stems_and_their_sum_stays_whole(
    samplerate, bad, residual
):
    x = np.random.default_rng(1).standard_normal((2, 60_000)).astype(np.float32)
    with_bad, without = (pipeline(samplerate, each, residual) for each in (bad, 1.0))
    got, expected = played(with_bad, x), played(without, x)
    assert np.isfinite(got).all()
    assert with_bad.separator.blocks.bad_estimates >= 1
    assert without.separator.blocks.bad_estimates == 0
    np.testing.assert_allclose(
        got.reshape(2, 2, -1).sum(axis=0), expected.reshape(2, 2, -1).sum(axis=0), atol=1e-4
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("samplerate", [22_050, 44_100, 48_000, 96_000])
def test_a_bad_sample_of_a_file_is_gone_after_its_spectra(samplerate, bad):
    """The daemon hears none: see `test_link`."""
    x = np.random.default_rng(1).standard_normal((2, 4 * samplerate)).astype(np.float32)
    x[0, 30_000] = bad
    pipe = pipeline(samplerate, 1.0, residual=False)
    with np.errstate(invalid="ignore"):
        out = played(pipe, x)
    broken = np.flatnonzero(~np.isfinite(out).all(axis=0))
    assert broken.size
    assert broken[-1] < 30_000 + pipe.latency + samplerate / 4
