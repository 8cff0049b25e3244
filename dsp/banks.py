"""The buffers between the separator and the networks: two, or more for files."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from stemd.dsp.arrays import Magnitudes, Spectra
from stemd.dsp.masks import share_rest
from stemd.dsp.scheme import CHANNELS, Scheme
from stemd.dsp.stft import is_silent

Network: TypeAlias = Callable[[Magnitudes, Magnitudes], None]
"""Reads the window [shape=(T, model_bins, 2)], writes the block's rows [shape=(B, …)]."""

Stream: TypeAlias = Callable[[Magnitudes, Magnitudes, int], None]
"""The same for one block after the other, of which it gets the number; see `Bank.number`."""


@runtime_checkable
class Streaming(Protocol):
    """A network that takes less time for a window that slides."""

    def stream(self) -> Stream:
        """Return what runs it for one stream of music, from its beginning on."""


def stream_of(network: Network) -> Stream:
    """Return what runs a network for one stream of music, on one thread."""
    if isinstance(network, Streaming):
        return network.stream()
    return lambda magnitudes, out, _: network(magnitudes, out)


class Bank:
    """A window of magnitudes, and the networks' estimates from it.

    Attributes
    ----------
    magnitudes : float32 [shape=(T, model_bins, CHANNELS)]
        The mixture, oldest spectrum first; the last ``mirror`` rows mirror the newest spectra.
    number : int
        Of the block: how often the window had slid when it was full, from 1 on. Before, all was
        silence. The number of a block that was left out is not used.
    estimates : float32 [shape=(stems, B, model_bins, CHANNELS)]
        Each network's estimate for the spectra of the block; if the masks are a softmax, logits
        at first.
    """

    def __init__(self, scheme: Scheme, stems: int) -> None:
        self._scheme = scheme
        self._bins = scheme.grid.model_bins
        self.number = 0
        self.magnitudes = np.zeros((scheme.T, self._bins, CHANNELS), np.float32)
        self.estimates = np.zeros((stems, scheme.B, self._bins, CHANNELS), np.float32)
        self._rows = np.empty((scheme.B, self._bins, CHANNELS), np.float32)

    @property
    def _mixture(self) -> Magnitudes:
        """The spectra that are estimated."""
        newest = self._scheme.heard - self._scheme.A
        return self.magnitudes[newest - self._scheme.B : newest]

    def estimate_residual(self) -> None:
        """Estimate the last stem as the residual: the mixture without the other stems.

        Stems are independent, so their powers add up; with magnitudes the result is worse.
        The sum of the other stems can be larger than the mixture.
        """
        residual = self.estimates[-1]
        np.square(self._mixture, out=residual)
        with np.errstate(over="ignore", invalid="ignore"):  # see `RatioMask.bad`
            for estimate in self.estimates[:-1]:
                residual -= estimate * estimate
        np.sqrt(np.maximum(residual, 0, out=residual), out=residual)

    def share_by_softmax(self) -> None:
        """Turn logits into magnitudes: each stem's share of the mixture.

        A logit that is not finite makes all stems' estimates of its bin invalid; see
        `RatioMask.bad`.
        """
        rows = self._rows
        with np.errstate(invalid="ignore"):
            np.max(self.estimates, axis=0, out=rows)
            self.estimates -= rows
            np.exp(self.estimates, out=self.estimates)
            np.sum(self.estimates, axis=0, out=rows)
            np.divide(self._mixture, rows, out=rows)
            self.estimates *= rows

    def put_first_stem_first(self) -> None:
        """Leave to the other stems only what the first one leaves of the mixture."""
        share_rest(self.estimates, self._mixture)

    def slide_from(self, other: "Bank") -> None:
        """Copy the window of the other bank, or of this one, moved by one block."""
        kept = self._scheme.heard - self._scheme.B
        self.magnitudes[:kept] = other.magnitudes[self._scheme.B : self._scheme.heard]

    def hear(self, hop: int, spectra: Spectra) -> None:
        """Set the block's spectra from hop number ``hop`` on [shape=(hops, CHANNELS, n_bins)]."""
        first = self._scheme.heard - self._scheme.B + hop
        rows = self.magnitudes[first : first + len(spectra)]
        if is_silent(spectra):  # a file ends with many
            rows[:] = 0
        else:
            np.abs(spectra[..., : self._bins].swapaxes(1, 2), out=rows)

    def mirror_future(self) -> None:
        """Fill the end of the window, the future, with the newest spectra, backwards."""
        newest = self._scheme.heard - 1
        self.magnitudes[newest + 1 :] = self.magnitudes[newest - self._scheme.mirror : newest][::-1]


class Networks(Protocol):
    """Runs the networks for the separator: in turn, or on their own threads."""

    def submit(self, bank: Bank) -> None:
        """Begin to fill ``bank.estimates`` from ``bank.magnitudes``.

        Banks must be collected in the order in which they were submitted.
        """

    def collect(self, bank: Bank) -> bool:
        """Whether the estimates are complete; the bank then belongs to the caller again."""


class InTurn:
    """Runs the networks one after the other on the caller's thread."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._streams = [stream_of(network) for network in networks]

    def submit(self, bank: Bank) -> None:
        """Fill the bank's estimates; returns when they are complete."""
        # Without `strict`: the last stem may be what the others leave.
        for run, estimates in zip(self._streams, bank.estimates, strict=False):
            run(bank.magnitudes, estimates, bank.number)

    def collect(self, bank: Bank) -> bool:  # noqa: ARG002 - it was complete when submitted
        """Return True."""
        return True
