"""Every published figure: what is measured is what the program makes of the mixture."""

import numpy as np
import pytest

from research.quality import sliding
from research.training.bundle import MASKS
from research.training.evaluate import DEFAULT, Way, compiled, score, separate
from research.training.heldout import Mix
from research.training.start import bundled
from stemd.dsp.banks import InTurn
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import CHANNELS, SPLEETER, Scheme
from stemd.dsp.separator import Separator
from stemd.tflite_models.network import Network

HOP_LENGTH = SPLEETER.hop_length

SHORT = Way(Scheme(T=64, B=3, A=0, mirror=8))
WAYS = (Way(Scheme(T=128, B=128, A=0)), DEFAULT, SHORT)


@pytest.fixture
def plain(out_dir):
    return bundled("2stems", out_dir).paths


def noise(hops, frames=0, seed=1):
    shape = (CHANNELS, hops * HOP_LENGTH + frames)
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("frames", [0, 100])
def test_the_stems_sum_to_the_mixture(plain, way, frames):
    mixture = noise(70, frames)
    with compiled(plain, [way]) as (graphs,):
        stems = separate(mixture, list(graphs.values()), way.scheme)
    heard = min(stems.shape[2], mixture.shape[1])
    assert heard > 65 * HOP_LENGTH
    np.testing.assert_allclose(stems.sum(0)[:, :heard], mixture[:, :heard], atol=1e-5)


@pytest.mark.parametrize("way", [DEFAULT, SHORT], ids=str)
def test_it_is_what_the_program_makes_of_it(plain, way):
    mixture = noise(60)
    with compiled(plain, [way]) as (graphs,):
        networks = InTurn([Network(path) for path in graphs.values()])
        separator = Separator(way.scheme, 2, networks, MaskExtension.MEAN)
        hops = mixture.reshape(CHANNELS, -1, HOP_LENGTH).swapaxes(0, 1)
        out = [separator.process(hop, np.empty((4, HOP_LENGTH), np.float32)) for hop in hops]
        expected = np.concatenate(out, 1)[:, separator.latency :].reshape(2, CHANNELS, -1)
        found = separate(mixture, list(graphs.values()), way.scheme)[..., : expected.shape[2]]
    assert expected.shape[2] > 20 * HOP_LENGTH
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_stem_that_is_all_there_is_has_all_of_its_decibels(plain, monkeypatch):
    stems = np.stack([noise(60, seed=n) for n in range(4)])
    errors = np.array([0.1, 0.01], np.float32)[:, None, None]
    estimates = np.stack([stems[0], stems[1:].sum(0)]) * (1 + errors)
    monkeypatch.setattr("research.training.evaluate.separate", lambda *_: estimates)
    scores = score(Mix("m", stems), plain, DEFAULT.scheme)
    assert scores == pytest.approx({"vocals": 20, "accompaniment": 40}, abs=0.01)


def test_of_four_stems_the_vocals_come_first(monkeypatch):
    scheme, mixture = SHORT.scheme, noise(60)
    last = scheme.heard - scheme.A

    def gives(share):
        def run(window, out):
            out[:] = share * window[last - scheme.B : last]

        return run

    shares = np.float32([0.6, 0.5, 0.7, 0.1])
    monkeypatch.setattr(
        "research.training.evaluate.sliding.emitted_by",
        lambda _, spectra, __: sliding.magnitudes_of(spectra)[:, None] * shares[:, None, None],
    )
    networks = InTurn([gives(share) for share in shares])
    separator = Separator(scheme, 4, networks, MaskExtension.MEAN, masks=MASKS)
    hops = mixture.reshape(CHANNELS, -1, HOP_LENGTH).swapaxes(0, 1)
    out = [separator.process(hop, np.empty((8, HOP_LENGTH), np.float32)) for hop in hops]
    expected = np.concatenate(out, 1)[:, separator.latency :].reshape(4, CHANNELS, -1)
    found = separate(mixture, ["a graph"] * 4, scheme)[..., : expected.shape[2]]
    np.testing.assert_allclose(found, expected, atol=1e-6)
