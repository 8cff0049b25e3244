"""The scheme's rules, and the latency contract's figures."""

import pytest

from stemd.dsp.scheme import HOP_LENGTH, N_FFT, Scheme


@pytest.mark.parametrize(
    ("scheme", "frames"),
    [
        (Scheme(T=128, B=128, A=0), 4096 + 255 * 1024),
        (Scheme(T=128, B=8, A=8), 4096 + 23 * 1024),
        (Scheme(T=64, B=1, A=0), N_FFT + HOP_LENGTH),
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
