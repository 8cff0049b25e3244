"""Laws of the sliding window: it is the plain computation, delayed by exactly what is declared."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp_reference import separate, spectra_of
from grids import SHORT, THREEFOLD
from stemd.dsp.banks import Bank, InTurn, Network
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import MAX_HOPS, SPLEETER, Scheme
from stemd.dsp.separator import Separator

HOP_LENGTH = SPLEETER.hop_length

SCHEMES = [
    Scheme(T=64, B=64, A=0),
    Scheme(T=64, B=8, A=8),
    Scheme(T=64, B=8, A=5, mirror=7),
    Scheme(T=64, B=1, A=0, mirror=31),
    Scheme(T=64, B=5, A=3),
    Scheme(T=64, B=40, A=24),
]
ON_OTHER_GRIDS = [
    Scheme(T=20, B=3, A=2, mirror=4, grid=SHORT),
    Scheme(T=64, B=8, A=8, grid=SHORT),
    Scheme(T=13, B=1, A=0, mirror=2, grid=THREEFOLD),
]


def name_of(value: Scheme | int) -> str:
    """A scheme, and its grid's hop; or a number of stems."""
    return f"{value} hop={value.grid.hop_length}" if isinstance(value, Scheme) else str(value)


def numbered(schemes: Sequence[Scheme]) -> list[tuple[int, Scheme]]:
    """Schemes with two stems and with four, in turn."""
    return list(zip(cycle((2, 4)), schemes, strict=False))


def fake_networks(stems: int, scheme: Scheme) -> list[Network]:
    """Networks whose every output depends on every row of the window and on its position."""
    last = scheme.heard - scheme.A
    networks = []
    for stem in range(stems):
        weights = np.random.default_rng(stem).random((scheme.B, scheme.T), np.float32)

        def network(window, out, weights=weights):
            out[:] = window[last - scheme.B : last] * np.tensordot(weights, window, 1)

        networks.append(network)
    return networks


def separator(scheme: Scheme, networks, stems: int = 2) -> Separator:
    return Separator(scheme, stems, networks, MaskExtension.MEAN)


def stream(sep: Separator, x: np.ndarray, sizes: Sequence[int] = (1,)) -> np.ndarray:
    """All of it through the separator, so many hops at a time, over and over.

    Output buffers are filled with garbage first.
    """
    hops, start, sizes_again = [], 0, cycle(sizes)
    while start < x.shape[1]:
        block = x[:, start : start + next(sizes_again) * sep.scheme.grid.hop_length]
        out = np.full((sep.stems * 2, block.shape[1]), np.nan, np.float32)
        assert sep.process(block, out=out) is out
        hops.append(out)
        start += block.shape[1]
    return np.concatenate(hops, axis=1)


def music(hops: int, hop_length: int = HOP_LENGTH) -> np.ndarray:
    """Noise whose loudness changes from hop to hop, so that no two spectra are alike."""
    rng = np.random.default_rng(hops)
    loudness = rng.random((2, hops)).repeat(hop_length, axis=1)
    return (loudness * rng.standard_normal((2, hops * hop_length))).astype(np.float32)


@pytest.mark.parametrize(("stems", "scheme"), numbered([*SCHEMES, *ON_OTHER_GRIDS]), ids=name_of)
def test_stream_is_the_plain_computation_delayed(scheme, stems):
    x = music(3 * scheme.B + scheme.A + 70, scheme.grid.hop_length)
    networks = fake_networks(stems, scheme)
    sep = separator(scheme, InTurn(networks), stems)
    y = stream(sep, x)
    expected = separate(x, networks, scheme)[:, : x.shape[1] - sep.latency]
    np.testing.assert_allclose(y[:, sep.latency :], expected, atol=2e-5)
    # Masks smear within a window, so the first hops sound up to three hops early.
    assert not y[:, : sep.latency - (scheme.grid.n_fft - scheme.grid.hop_length)].any()


@pytest.mark.parametrize("scheme", [*SCHEMES, *ON_OTHER_GRIDS], ids=name_of)
@pytest.mark.parametrize("place", [0, 0.001, 0.5, 0.999])
def test_impulse_comes_out_at_the_declared_latency(scheme, place):
    sep, hop_length = separator(scheme, InTurn(fake_networks(2, scheme))), scheme.grid.hop_length
    assert sep.latency == scheme.delay - hop_length
    at = 3 * hop_length + int(place * hop_length)
    hops = (at + sep.latency) // hop_length + 2
    x = np.zeros((2, hops * hop_length), np.float32)
    x[:, at] = 1
    total = stream(sep, x).reshape(2, 2, -1).sum(axis=0)
    assert (np.argmax(np.abs(total), axis=1) == at + sep.latency).all()
    np.testing.assert_allclose(total[:, at + sep.latency], 1, atol=1e-5)


def test_stems_sum_to_the_mixture_within_100_db():
    scheme = Scheme(T=64, B=8, A=8)
    x = music(100)
    sep = separator(scheme, InTurn(fake_networks(4, scheme)), stems=4)
    y = stream(sep, x).reshape(4, 2, -1).sum(axis=0)[:, sep.latency :]
    error = y - x[:, : y.shape[1]]
    assert 10 * np.log10((error**2).sum() / (x**2).sum()) < -100


@pytest.mark.parametrize(("stems", "scheme"), numbered(SCHEMES), ids=str)
def test_the_residual_is_what_the_other_stems_leave(scheme, stems):
    """The same as with a network that hears the others."""

    def quieter(network: Network) -> Network:
        def run(window, out):
            network(window, out)
            out *= 1e-2  # of some bins there is nothing left, of others there is

        return run

    others = [quieter(network) for network in fake_networks(stems - 1, scheme)]
    last = scheme.heard - scheme.A

    def rest(window, out):
        taken = np.empty((len(others), *out.shape), np.float32)
        for network, estimate in zip(others, taken, strict=True):
            network(window, estimate)
        left = window[last - scheme.B : last] ** 2 - (taken**2).sum(axis=0)
        out[:] = np.sqrt(np.maximum(left, 0))

    x = music(3 * scheme.B + scheme.A + 70)
    sep = Separator(scheme, stems, InTurn(others), MaskExtension.MEAN, residual=True)
    expected = stream(separator(scheme, InTurn([*others, rest]), stems), x)
    np.testing.assert_allclose(stream(sep, x), expected, atol=1e-5)
    assert expected[-2:].any()


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_a_softmax_shares_the_mixture_s_magnitudes(scheme):
    """The same as with networks that give their share of the magnitudes."""
    rng = np.random.default_rng(1)
    logits = 3 * rng.standard_normal((3, scheme.B, 1024, 2)).astype(np.float32)
    logits[:, :, 5] += np.float32([[[200]], [[-200]], [[0]]])  # exp(200) is no float32
    shares = np.exp(logits - logits.max(axis=0))
    shares /= shares.sum(axis=0)
    last = scheme.heard - scheme.A

    def gives(stem):
        def run(_, out):
            out[:] = logits[stem]

        return run

    def masks(stem):
        def run(window, out):
            out[:] = shares[stem] * window[last - scheme.B : last]

        return run

    x = music(3 * scheme.B + scheme.A + 70)
    networks = InTurn([gives(stem) for stem in range(3)])
    sep = Separator(scheme, 3, networks, MaskExtension.MEAN, masks="softmax")
    expected = stream(separator(scheme, InTurn([masks(stem) for stem in range(3)]), 3), x)
    np.testing.assert_allclose(stream(sep, x), expected, atol=1e-5)
    assert expected[-2:].any()


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_the_first_stem_first_is_what_its_network_estimates(scheme, residual):
    """The others are those of the ratio, scaled to what the first leaves of the mixture."""
    last = scheme.heard - scheme.A

    def gives(share):
        def run(window, out):
            out[:] = share * window[last - scheme.B : last]

        return run

    shares = (0.6, 0.5, 0.7)
    rest = 0.8 / np.hypot(*shares[1:])  # what the first leaves, over what the others claim
    x = music(3 * scheme.B + scheme.A + 70)
    networks = InTurn([gives(share) for share in shares[: 2 if residual else 3]])
    sep = Separator(
        scheme, 3, networks, MaskExtension.MEAN, residual=residual, masks="vocals-first"
    )
    left = (shares[1], np.sqrt(1 - 0.6**2 - 0.5**2)) if residual else np.multiply(rest, shares[1:])
    expected = stream(separator(scheme, InTurn([gives(s) for s in (0.6, *left)]), 3), x)
    np.testing.assert_allclose(stream(sep, x), expected, atol=1e-5)
    assert expected[-2:].any()


def test_logits_that_are_no_numbers_spoil_their_bins_only():
    scheme = Scheme(T=64, B=8, A=8)

    def broken(_, out):
        out[:] = 0
        out[:, 7] = np.nan

    def fine(_, out):
        out[:] = 0

    sep = Separator(scheme, 2, InTurn([fine, broken]), MaskExtension.MEAN, masks="softmax")
    x = music(50)
    y = stream(sep, x).reshape(2, 2, -1)
    assert np.isfinite(y).all()
    assert sep.blocks.bad_estimates > 0
    np.testing.assert_allclose(y[0], y[1], atol=1e-6)


def test_silence_stays_silent_and_finite():
    scheme = Scheme(T=64, B=8, A=8)
    y = stream(
        separator(scheme, InTurn(fake_networks(2, scheme))), np.zeros((2, 50 * HOP_LENGTH), "f4")
    )
    assert not y.any()


class Sluggish(InTurn):
    """Networks that are not there when some of their blocks are due."""

    def __init__(self, networks: Sequence[Network], late_collects: set[int]) -> None:
        super().__init__(networks)
        self._late = late_collects
        self._collects = 0
        self.held: Bank | None = None

    def submit(self, bank: Bank) -> None:
        assert self.held is None, "submitted while the networks still hold a bank"
        self.held = bank
        super().submit(bank)

    def collect(self, bank: Bank) -> bool:
        assert bank is self.held
        self._collects += 1
        if self._collects - 1 in self._late:
            return False
        self.held = None
        return True


SCHEME = Scheme(T=64, B=4, A=2)


def test_no_block_is_counted_before_the_first_is_due():
    sep = separator(SCHEME, InTurn(fake_networks(2, SCHEME)))
    stream(sep, music(2 * SCHEME.B - 1))
    assert (sep.blocks.total, sep.blocks.late) == (0, 0)
    stream(sep, music(1))
    assert (sep.blocks.total, sep.blocks.late) == (1, 0)


@pytest.mark.parametrize("ahead", [2, 3])
def test_networks_that_are_given_more_blocks_ahead_give_the_same_later(ahead):
    x = music(9 * SCHEME.B)
    one = separator(SCHEME, InTurn(fake_networks(2, SCHEME)))
    more = Separator(SCHEME, 2, InTurn(fake_networks(2, SCHEME)), MaskExtension.MEAN, ahead)
    assert more.latency == one.latency + (ahead - 1) * SCHEME.B * HOP_LENGTH
    frames = x.shape[1] - more.latency
    expected = stream(one, x)[:, one.latency :][:, :frames]
    np.testing.assert_array_equal(stream(more, x)[:, more.latency :], expected)
    assert more.blocks.total == one.blocks.total - (ahead - 1)


@pytest.mark.parametrize("late", [{0}, {3}, {3, 4, 5}])
def test_late_block_holds_the_masks_keeps_the_delay_and_recovers(late):
    x = music(25 * SCHEME.B)
    networks = fake_networks(2, SCHEME)
    punctual = separator(SCHEME, InTurn(networks))
    expected = stream(punctual, x)
    sep = separator(SCHEME, Sluggish(networks, late))
    y = stream(sep, x)
    # a block that was late, and the one that could not be submitted meanwhile
    assert sep.blocks.late == len(late) + 1
    assert sep.blocks.total == punctual.blocks.total == 24
    first = (min(late) + 2) * SCHEME.B * HOP_LENGTH - HOP_LENGTH
    # recovered when the held masks have left both the block and the overlap
    again = (max(late) + 4) * SCHEME.B * HOP_LENGTH + 3 * HOP_LENGTH
    np.testing.assert_array_equal(y[:, :first], expected[:, :first])
    assert (y[:, first:again] != expected[:, first:again]).any()
    np.testing.assert_array_equal(y[:, again:], expected[:, again:])
    total = y.reshape(2, 2, -1).sum(axis=0)[:, sep.latency :]
    np.testing.assert_allclose(total, x[:, : total.shape[1]], atol=1e-5)


@pytest.mark.parametrize("late", [{3}, {3, 4, 5}])
def test_masks_that_are_held_and_let_go_make_no_click(late):
    """A sine through masks that swing from block to block bends no more where they are held."""
    hz, rate, last = 440, 44_100, SCHEME.heard - SCHEME.A

    def swinging(shares):
        return lambda window, out: np.multiply(next(shares), window[last - SCHEME.B : last], out)

    def bend(late_ones):
        pair = [swinging(cycle(np.float32([0.9, 0.4]))), swinging(cycle(np.float32([0.4, 0.9])))]
        sep = separator(SCHEME, Sluggish(pair, late_ones))
        t = np.arange(16 * SCHEME.B * HOP_LENGTH)
        x = np.sin(2 * np.pi * hz * t / rate).astype("f4")
        y = stream(sep, np.stack([x, x]))[:, sep.latency + 8 * HOP_LENGTH :]
        return np.abs(np.diff(y, n=2)).max(axis=1)

    steady = (2 * np.pi * hz / rate) ** 2 * (0.81 / 0.97)
    assert (bend(set()) < 1.5 * steady).all()
    assert (bend(late) < 1.5 * steady).all()


@pytest.mark.parametrize("late", [set(), {3}, {3, 4, 5}])
def test_a_bank_has_the_number_of_its_block(late):
    """By which the window has slid since there was silence, also when blocks are left out."""
    x, seen = music(60), []

    class Noting(Sluggish):
        def submit(self, bank: Bank) -> None:
            newest = bank.magnitudes[SCHEME.heard - 1]
            assert np.abs(newest - loudest[bank.number * SCHEME.B - 1]).max() < 1e-3
            seen.append(bank.number)
            super().submit(bank)

    loudest = np.abs(spectra_of(x, SCHEME.grid)[..., : SCHEME.grid.model_bins]).swapaxes(1, 2)
    stream(separator(SCHEME, Noting(fake_networks(2, SCHEME), late)), x)
    assert seen[:3] == [1, 2, 3]
    assert (seen == list(range(1, len(seen) + 1))) == (not late)
    assert seen == sorted(set(seen))


def test_late_block_holds_the_last_masks():
    """Stem 0 is given everything in blocks 0 to 2 and nothing later; block 3 comes late."""
    first, second = iter([1, 1, 1, 0, 0, 0, 0, 0]), iter([0, 0, 0, 1, 1, 1, 1, 1])
    networks = [
        lambda _, out: out.fill(next(first)),
        lambda _, out: out.fill(next(second)),
    ]
    sep = separator(SCHEME, Sluggish(networks, {3}))
    x = music(9 * SCHEME.B)
    y = stream(sep, x)[:2, sep.latency :]
    # Block 0 emits from spectrum −A on; blocks 3 and 4, the latter lost, end at 5·B − A.
    held = slice(0, (5 * SCHEME.B - SCHEME.A - 4) * HOP_LENGTH)
    np.testing.assert_allclose(y[:, held], x[:, held], atol=1e-4)
    # From block 5 on stem 0 has nothing.
    assert np.abs(y[:, (5 * SCHEME.B - SCHEME.A + 1) * HOP_LENGTH :]).max() < 1e-3


def with_silence(x: np.ndarray, silent: set[tuple[int, int]]) -> np.ndarray:
    """The same with stretches of digital silence, each given as first hop and number of hops."""
    x = x.copy()
    for first, hops in silent:
        x[:, first * HOP_LENGTH : (first + hops) * HOP_LENGTH] = 0
    return x


@settings(deadline=None, max_examples=30)
@given(
    scheme=st.sampled_from([*SCHEMES, SCHEME, Scheme(T=64, B=2, A=0), Scheme(T=64, B=9, A=4)]),
    stems=st.sampled_from([2, 4]),
    extension=st.sampled_from(MaskExtension),
    sizes=st.lists(st.integers(1, 5 * MAX_HOPS), min_size=1, max_size=6),
    late=st.sets(st.integers(0, 12)),
    silent=st.sets(st.tuples(st.integers(0, 150), st.integers(1, 40)), max_size=3),
)
def test_how_many_hops_come_at_once_does_not_show(scheme, stems, extension, sizes, late, silent):
    x = with_silence(music(3 * scheme.B + scheme.A + 20), silent)
    results = []
    for each in ([1], sizes):
        networks = Sluggish(fake_networks(stems, scheme), late)
        sep = Separator(scheme, stems, networks, extension)
        results.append((stream(sep, x, each), sep.blocks))
    (y_alone, blocks_alone), (y, blocks) = results
    assert blocks == blocks_alone
    np.testing.assert_array_equal(y, y_alone)


def test_networks_are_called_when_a_block_is_full_however_many_hops_come_at_once():
    calls = []

    class Watched(InTurn):
        def submit(self, bank: Bank) -> None:
            calls.append(("submit", bank.magnitudes.copy()))
            super().submit(bank)

        def collect(self, bank: Bank) -> bool:
            calls.append(("collect", bank.magnitudes.copy()))
            return True

    x = music(5 * SCHEME.B + 1)
    for sizes in ([1], [5 * SCHEME.B + 1]):
        stream(separator(SCHEME, Watched(fake_networks(2, SCHEME))), x, sizes)
    alone, together = calls[: len(calls) // 2], calls[len(calls) // 2 :]
    assert [name for name, _ in together] == ["submit", *4 * ["collect", "submit"]]
    for one, other in zip(alone, together, strict=True):
        assert one[0] == other[0]
        np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.parametrize("size", [1, 50])
def test_silence_is_not_transformed(size, monkeypatch):
    for name in ("rfft", "irfft"):
        monkeypatch.setattr(np.fft, name, lambda *_, **__: pytest.fail("transformed"))
    sep = separator(SCHEME, InTurn(fake_networks(2, SCHEME)))
    assert not stream(sep, np.zeros((2, 50 * HOP_LENGTH), np.float32), [size]).any()
