"""The scheme's rules, and the latency contract's figures."""

from dataclasses import replace

import pytest

from grids import SHORT, THREEFOLD
from stemd.dsp.scheme import Grid, Scheme, offline


@pytest.mark.parametrize(
    ("scheme", "frames"),
    [
        (Scheme(T=128, B=128, A=0), 4096 + 255 * 1024),
        (Scheme(T=128, B=8, A=8), 4096 + 23 * 1024),
        (Scheme(T=64, B=1, A=0), 4096 + 1024),
        (Scheme(T=64, B=1, A=0, grid=SHORT), 1024 + 256),
        (Scheme(T=64, B=4, A=8, grid=SHORT), 1024 + 15 * 256),
        (Scheme(T=7, B=2, A=1, grid=THREEFOLD), 1536 + 4 * 512),
    ],
)
def test_delay_is_the_contract(scheme, frames):
    assert scheme.delay == frames


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"T": 100, "B": 8, "A": 8}, r"T must be a multiple of 64 from 64 to 1024 \(got 100\)"),
        ({"T": 0, "B": 8, "A": 8}, r"T must be a multiple of 64 from 64 to 1024 \(got 0\)"),
        ({"T": 1088, "B": 8, "A": 8}, r"T must be a multiple of 64 from 64 to 1024 \(got 1088\)"),
        ({"T": 64, "B": 0, "A": 8}, r"B must be at least 1 \(got 0\)"),
        ({"T": 64, "B": 8, "A": -1}, r"A must be at least 0 \(got -1\)"),
        ({"T": 64, "B": 8, "A": 0, "mirror": -1}, r"mirror must be .* \(got -1\)"),
        ({"T": 64, "B": 8, "A": 0, "mirror": 32}, r"mirror must be .* \(got 32\)"),
        ({"T": 64, "B": 32, "A": 32, "mirror": 1}, r"at most T \(got 32 \+ 32 \+ 1 > 64\)"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(numbers, message):
    with pytest.raises(ValueError, match=message):
        Scheme(**numbers)


def test_the_stride_is_the_grids():
    assert Scheme(T=20, B=1, A=0, grid=SHORT).T == 20
    with pytest.raises(ValueError, match=r"T must be a multiple of 4 from 4 to 1024 \(got 18\)"):
        Scheme(T=18, B=1, A=0, grid=SHORT)


@pytest.mark.parametrize(("stride", "spectra"), [(1, 512), (64, 512), (96, 480), (600, 600)])
def test_whole_songs_have_segments_that_every_stride_divides(stride, spectra):
    scheme = offline(replace(SHORT, stride=stride))
    assert (scheme.T, scheme.B, scheme.A, scheme.mirror) == (spectra, spectra, 0, 0)
    assert scheme.grid.stride == stride


def test_a_block_lasts_as_long_as_its_hops():
    assert Scheme(T=64, B=4, A=8).block_s == 4 * 1024 / 44_100
    assert Scheme(T=64, B=4, A=8, grid=SHORT).block_s == 4 * 256 / 44_100


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((4096, 0, 1024, 64), r"multiple of hop_length, at least 3 times it \(got 4096 and 0\)"),
        ((4096, 1000, 1024, 64), r"at least 3 times it \(got 4096 and 1000\)"),
        ((2048, 1024, 1024, 64), r"at least 3 times it \(got 2048 and 1024\)"),
        ((876, 146, 100, 1), r"hop_length must be at least 147 \(got 146\), .* at 48 kHz"),
        ((4096, 1024, 0, 64), r"model_bins must be from 1 to 2049 \(got 0\)"),
        ((4096, 1024, 2050, 64), r"model_bins must be from 1 to 2049 \(got 2050\)"),
        ((4096, 1024, 1024, 0), r"stride must be from 1 to 1024 \(got 0\)"),
    ],
)
def test_grids_that_do_not_fit_are_refused(numbers, message):
    with pytest.raises(ValueError, match=message):
        Grid(*numbers)
