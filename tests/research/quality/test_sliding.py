import numpy as np
import pytest

from research.quality import sliding
from stemd.dsp.banks import InTurn
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import CHANNELS, SPLEETER, Scheme
from stemd.dsp.separator import Separator

HOP_LENGTH, MODEL_BINS = SPLEETER.hop_length, SPLEETER.model_bins


def fake_network(first: int, rows: int, weight: float):
    """Every row that it emits depends on all the window, and on where in the window it is."""

    def run(window: np.ndarray, out: np.ndarray) -> None:
        position = np.arange(1, len(window) + 1, dtype=np.float32)[:, None, None] / len(window)
        everything = (window * position**weight).mean(axis=0)
        out[:] = window[first : first + rows] * position[first : first + rows] + weight * everything

    return run


@pytest.mark.parametrize(
    ("B", "A", "mirrored"), [(2, 0, 8), (2, 0, 0), (3, 2, 4), (1, 4, 8), (8, 8, 0)]
)
def test_equals_the_separator(B, A, mirrored):
    rows = B + 8
    scheme = Scheme(T=64, B=B, A=A, mirror=mirrored)
    x = np.random.default_rng(0).standard_normal((CHANNELS, 90 * HOP_LENGTH)).astype(np.float32)

    first = scheme.heard - A - B
    networks = InTurn([fake_network(first, B, weight) for weight in (1, 3)])
    separator = Separator(scheme, 2, networks, MaskExtension.MEAN)
    hops = x.reshape(CHANNELS, -1, HOP_LENGTH).swapaxes(0, 1)
    out = [separator.process(hop, np.empty((4, HOP_LENGTH), np.float32)) for hop in hops]
    expected = np.concatenate(out, axis=1)[:CHANNELS, separator.latency :]

    spectra = sliding.analyse(x)
    estimates = sliding.estimate_blocks(
        sliding.magnitudes_of(spectra),
        [fake_network(scheme.heard - rows, rows, weight) for weight in (1, 3)],
        (64, B, mirrored),
        rows,
    )
    emitted = sliding.at_look_ahead(estimates, B, A, len(spectra))
    vocals = sliding.synthesise(spectra * sliding.masks_of(emitted))

    assert expected.shape[1] > 60 * HOP_LENGTH
    np.testing.assert_array_equal(vocals[:, : expected.shape[1]], expected)


def test_blocks_before_those_asked_for_are_left_out():
    x = np.random.default_rng(1).random((40, MODEL_BINS, CHANNELS), np.float32)
    networks = [fake_network(64 - 8 - 11, 11, 1)]
    every = sliding.estimate_blocks(x, networks, (64, 3, 8), 11)
    late = sliding.estimate_blocks(x, networks, (64, 3, 8), 11, first=20)
    assert not late[0].any()
    for ahead in (0, 1, 8):
        expected, found = (sliding.at_look_ahead(each, 3, ahead, 40) for each in (every, late))
        np.testing.assert_array_equal(found[20:], expected[20:])


def test_a_network_that_emits_less_fills_the_first_rows():
    out = np.zeros((12, 3, 2), np.float32)

    class Network:
        def in_order(self, first):
            assert first == 7
            return lambda window, out: out.fill(len(out))

    sliding._emitting(Network(), 4, 7)(out, out)
    np.testing.assert_array_equal(out[:, 0, 0], [4] * 4 + [0] * 8)


def labelled(blocks: int, B: int, rows: int) -> np.ndarray:
    """Return estimates that hold their spectrum's number (first bin) and their block's (second)."""
    estimates = np.zeros((blocks, 1, rows, MODEL_BINS, CHANNELS), np.float32)
    for block in range(blocks):
        estimates[block, 0, :, 0] = np.arange(rows)[:, None] + (block + 1) * B - rows
        estimates[block, 0, :, 1] = block
    return estimates


@pytest.mark.parametrize(("B", "A"), [(1, 0), (2, 0), (2, 5), (4, 8)])
def test_each_spectrum_gets_its_own_estimate(B, A):
    emitted = sliding.at_look_ahead(labelled(30, B, B + 8), B, A, 20)
    np.testing.assert_array_equal(emitted[:, 0, 0, 0], np.arange(20))


def test_the_newest_spectra_are_mirrored():
    heard = np.arange(8, dtype=np.float32)[:, None, None]
    np.testing.assert_array_equal(sliding.mirror(heard, 3)[:, 0, 0], [6, 5, 4])
