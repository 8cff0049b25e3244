"""The separator: hops of the mixture in, hops of every stem out."""

from dataclasses import dataclass

import numpy as np

from stemd.dsp.arrays import Waveform
from stemd.dsp.banks import Bank, Networks
from stemd.dsp.masks import MaskExtension, RatioMask
from stemd.dsp.scheme import CHANNELS, HOP_LENGTH, MODEL_BINS, N_BINS, Scheme
from stemd.dsp.stft import Analysis, Synthesis


@dataclass
class BlockCounts:
    """What became of the blocks so far."""

    total: int = 0
    """Blocks that fell due."""

    late: int = 0
    """Blocks whose estimates were not there when due; the last masks were held instead."""

    late_in_a_row: int = 0
    """How many of the last ones were late."""

    in_time_in_a_row: int = 0
    """How many of the last ones were not."""

    def count(self, *, late: bool) -> None:
        """Count one block that fell due."""
        self.total += 1
        self.late += late
        self.late_in_a_row = self.late_in_a_row + 1 if late else 0
        self.in_time_in_a_row = 0 if late else self.in_time_in_a_row + 1


class Separator:
    """Streams stems out of a mixture at 44.1 kHz, by the sliding window of its scheme.

    While the networks work on one bank, the other one collects the next block. A block's
    estimates are due when the next block is full; from then on they shape one spectrum each hop.
    When they are late, the last masks are held for the whole block, so the delay never changes.

    Not thread-safe: one thread owns it.

    Attributes
    ----------
    latency : int
        Frames by which the stream of hops that goes out lags behind the one that comes in. A hop
        goes out when one came in, so whoever counts from a hop's first frame adds a hop.
    """

    def __init__(
        self, scheme: Scheme, stems: int, networks: Networks, extension: MaskExtension
    ) -> None:
        self.scheme = scheme
        self.stems = stems
        self.latency = scheme.delay - HOP_LENGTH
        self.blocks = BlockCounts()
        self._networks = networks
        self._analysis = Analysis(CHANNELS)
        self._synthesis = Synthesis(stems * CHANNELS)
        self._mask = RatioMask(stems, extension)
        # The oldest spectrum here is the one emitted now: 2·B + A − 1 hops old.
        self._spectra = np.zeros((2 * scheme.B + scheme.A, CHANNELS, N_BINS), np.complex64)
        self._masked = np.empty((stems, CHANNELS, N_BINS), np.complex64)
        self._magnitudes = np.empty((CHANNELS, MODEL_BINS), np.float32)
        self._collecting, self._spare = Bank(scheme, stems), Bank(scheme, stems)
        self._submitted: Bank | None = None
        self._emitting: Bank | None = None  # None while the last masks are held
        self._missed = False
        self._hops = 0

    def process(self, hop: Waveform, out: Waveform) -> Waveform:
        """Take one hop of the mixture and write one hop of every stem.

        Parameters
        ----------
        hop : float32 [shape=(CHANNELS, HOP_LENGTH)]
        out : float32 [shape=(stems * CHANNELS, HOP_LENGTH)]
            First stem left, first stem right, second stem left, …

        Returns
        -------
        out
        """
        self._hear(hop)
        if self._hops % self.scheme.B == 0:
            self._turn()
        self._shape()
        return self._synthesis.process(self._masked.reshape(-1, N_BINS), out)

    def _hear(self, hop: Waveform) -> None:
        """Analyse the hop into the history of spectra and into the bank that collects."""
        spectrum = self._spectra[self._hops % len(self._spectra)]
        self._analysis.process(hop, out=spectrum)
        np.abs(spectrum[:, :MODEL_BINS], out=self._magnitudes)
        self._collecting.hear(self._hops % self.scheme.B, self._magnitudes)
        self._hops += 1

    def _turn(self) -> None:
        """Swap the banks: the collecting one is full, and the submitted one is due."""
        full, due = self._collecting, self._submitted
        finished = due is None or self._networks.collect(due)
        self._emitting = due if finished and not self._missed else None
        if self._hops > self.scheme.B:
            self.blocks.count(late=self._emitting is None)
        if finished:
            full.mirror_future()
            self._networks.submit(full)
            self._submitted, self._collecting = full, due or self._spare
        # Else the networks still hold the other bank: this one goes on collecting, its block is
        # never estimated, and what they are at comes too late to be of use.
        self._missed = not finished
        self._collecting.slide_from(full)

    def _shape(self) -> None:
        """Mask the oldest spectrum for every stem."""
        if self._emitting is not None:
            self._mask.update(self._emitting.estimates[:, self._hops % self.scheme.B])
        oldest = self._spectra[self._hops % len(self._spectra)]
        np.multiply(self._mask.masks, oldest, out=self._masked)
