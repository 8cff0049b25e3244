"""Laws of the pipeline: block sizes do not show, latency and hold-back are what is declared."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grids import GRIDS
from stemd.dsp.banks import InTurn
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.pipeline import HopFramer, Pipeline, _whole_frames_lead
from stemd.dsp.resampling import RateConverter
from stemd.dsp.scheme import LEAST_HOP, MAX_HOPS, SAMPLERATE, SPLEETER, Grid, Scheme
from stemd.dsp.separator import Separator

HOP_LENGTH = SPLEETER.hop_length

SCHEME = Scheme(T=64, B=3, A=2)
RATES = [8_000, 22_050, 44_100, 48_000, 88_200, 96_000, 192_000]


def half(window, out):
    out[:] = window[-SCHEME.A - SCHEME.B : -SCHEME.A]


def pipeline(samplerate: int, grid: Grid = SPLEETER, begins_late: bool = False) -> Pipeline:
    separator = Separator(replace(SCHEME, grid=grid), 2, InTurn([half, half]), MaskExtension.MEAN)
    return Pipeline(separator, samplerate, begins_late)


def run(pipe: Pipeline, x: np.ndarray, blocksize: int) -> np.ndarray:
    out = [np.zeros((4, 0), np.float32)]
    for start in range(0, x.shape[1], blocksize):
        out += [block.copy() for block in pipe.process(x[:, start : start + blocksize])]
    return np.concatenate(out, axis=1)


def noise(frames: int) -> np.ndarray:
    return np.random.default_rng(frames).standard_normal((2, frames)).astype(np.float32)


@pytest.mark.parametrize("samplerate", [44_100, 48_000, 96_000])
@pytest.mark.parametrize("blocksize", [1, 17, 64, 509, 1023, 1024, 1025, 4096])
def test_block_size_does_not_show(samplerate, blocksize):
    x = noise(20_000)
    whole = run(pipeline(samplerate), x, x.shape[1])
    parts = run(pipeline(samplerate), x, blocksize)
    assert whole.shape == parts.shape
    assert whole.any()
    np.testing.assert_array_equal(whole, parts)


@settings(deadline=None, max_examples=20)
@given(
    sizes=st.lists(st.integers(1, 20 * HOP_LENGTH), min_size=1, max_size=8),
    samplerate=st.sampled_from([44_100, 48_000]),
)
def test_random_block_sizes_do_not_show(sizes, samplerate):
    x = noise(sum(sizes))
    parts, pipe = [np.zeros((4, 0), np.float32)], pipeline(samplerate)
    for block in np.split(x, np.cumsum(sizes)[:-1], axis=1):
        parts += [stems.copy() for stems in pipe.process(block)]
    np.testing.assert_array_equal(
        np.concatenate(parts, axis=1), run(pipeline(samplerate), x, HOP_LENGTH)
    )


def test_stems_have_no_gaps_in_memory():
    for stems in pipeline(44_100).process(noise(20 * HOP_LENGTH + 1)):
        assert stems.flags.c_contiguous


@pytest.mark.parametrize("samplerate", [100, 8_000, 44_100, 48_000, 96_000, 1_536_000])
def test_a_pipeline_that_begins_late_gives_the_same_sound_earlier(samplerate, monkeypatch):
    """And one that is drained gives what silence would have brought out."""
    monkeypatch.setitem(globals(), "SCHEME", Scheme(T=64, B=20, A=2))
    x = noise(4_000 if samplerate == 100 else 40_000)
    late, whole = pipeline(samplerate, begins_late=True), pipeline(samplerate)
    length = x.shape[1] + whole.latency
    y = run(whole, np.pad(x, ((0, 0), (0, length + whole.held))), 4096)
    z = run(late, x, 4096)
    for stems in late.drain():
        if z.shape[1] >= length:
            break
        z = np.concatenate([z, stems], axis=1)
    earlier = whole.latency - late.latency
    assert earlier > 0 or samplerate == 100
    y, z = (each[:, : x.shape[1]] for each in (y[:, whole.latency :], z[:, late.latency :]))
    assert y.any()
    np.testing.assert_allclose(z, y, atol=1e-5)


SIZES = [0, 1, HOP_LENGTH - 1, HOP_LENGTH, HOP_LENGTH + 1, (2 * MAX_HOPS + 1) * HOP_LENGTH - 1]


@pytest.mark.parametrize("lead", [0, 5])
@pytest.mark.parametrize("frames", SIZES)
def test_framer_yields_every_whole_hop_and_as_many_at_once_as_may_be(frames, lead):
    x = noise(frames)
    hops = [hops.copy() for hops in HopFramer(2, HOP_LENGTH, lead).push(x)]
    whole = (lead + frames) // HOP_LENGTH
    assert [each.shape[1] // HOP_LENGTH for each in hops] == [
        min(MAX_HOPS, whole - done) for done in range(0, whole, MAX_HOPS)
    ]
    y = np.concatenate([np.zeros((2, 0), np.float32), *hops], axis=1)
    expected = np.pad(x, ((0, 0), (lead, 0)))[:, : whole * HOP_LENGTH]
    np.testing.assert_array_equal(y, expected)


def click(samplerate: int, at: int, frames: int) -> np.ndarray:
    """A band-limited impulse around frame ``at``: low enough to pass every conversion whole."""
    width = max(samplerate / 8_000, 1) * 4
    n = np.arange(frames) - at
    return np.tile(np.exp(-0.5 * (n / width) ** 2), (2, 1)).astype(np.float32)


def centre(y: np.ndarray) -> float:
    """Where the impulse stands, to a fraction of a frame."""
    power = y.astype(np.float64) ** 2
    return float((power * np.arange(len(y))).sum() / power.sum())


@pytest.mark.parametrize("samplerate", [44_100, 48_000, 88_200, 96_000, 192_000])
def test_with_every_hop_the_latency_is_whole_at_both_rates(samplerate):
    for latency in range(LEAST_HOP):
        lead = _whole_frames_lead(latency, samplerate, LEAST_HOP)
        assert lead < LEAST_HOP
        assert (latency + lead) * samplerate % SAMPLERATE == 0


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("samplerate", RATES)
def test_latency_is_what_is_declared(samplerate, grid):
    pipe = pipeline(samplerate, grid)
    at = samplerate // 4
    x = click(samplerate, at, at + pipe.latency + 2 * pipe.held + samplerate // 4)
    y = run(pipe, x, 256).reshape(2, 2, -1).sum(axis=0)[0]
    assert abs(centre(y) - at - pipe.latency) <= 0.01


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("samplerate", RATES)
def test_no_more_is_ever_held_back_than_declared(samplerate, grid):
    pipe = pipeline(samplerate, grid)
    given_frames = taken = worst = 0
    for _ in range(2 * samplerate // 64):
        given_frames += 64
        worst = max(worst, given_frames - taken - 1)
        taken += sum(out.shape[1] for out in pipe.process(np.zeros((2, 64), np.float32)))
        assert given_frames - taken <= pipe.held
    assert worst > pipe.held / 3, "the bound is far from what happens"


@settings(deadline=None, max_examples=30)
@given(sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=20))
def test_converter_holds_back_no_more_than_declared_for_any_blocks(sizes):
    converter = RateConverter(48_000, 44_100, 2)
    given_frames = taken = 0
    for size in sizes:
        given_frames += size
        taken += converter.process(np.zeros((2, size), np.float32)).shape[1]
        assert given_frames * 44_100 / 48_000 - taken <= converter.held
