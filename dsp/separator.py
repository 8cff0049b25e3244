"""The separator: hops of the mixture in, hops of every stem out."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from stemd.dsp.arrays import Spectra, Waveform
from stemd.dsp.banks import Bank, Networks
from stemd.dsp.mask_kinds import MaskExtension, MaskKind
from stemd.dsp.masks import RatioMask
from stemd.dsp.scheme import CHANNELS, MAX_HOPS, Scheme
from stemd.dsp.stft import Analysis, RealFft, Synthesis, is_silent, numpys_rfft


@dataclass
class BlockCounts:
    """Counters of the blocks so far."""

    total: int = 0
    """Blocks that fell due."""

    late: int = 0
    """Blocks whose estimates were not ready when due; the last masks were used instead."""

    late_in_a_row: int = 0
    """How many of the last blocks were late, without one in time between them."""

    in_time_in_a_row: int = 0
    """How many of the last blocks were in time, without a late one between them."""

    bad_estimates: int = 0
    """Magnitudes from networks that were not finite or absurdly large; replaced by 0."""

    def count(self, *, late: bool) -> None:
        """Count one block that fell due."""
        self.total += 1
        self.late += late
        self.late_in_a_row = self.late_in_a_row + 1 if late else 0
        self.in_time_in_a_row = 0 if late else self.in_time_in_a_row + 1


class Separator:
    """Streams stems out of a mixture at 44.1 kHz, by the sliding window of its scheme.

    While the networks work on their banks, another bank collects the next block. A block's
    estimates are due when ``ahead`` more blocks are full. From then on, they are used for one
    spectrum in each hop. If they are late, the last masks are used for the whole block, so the
    delay never changes.

    Not thread-safe: one thread owns it.

    Parameters
    ----------
    scheme : Scheme
    stems : int
    networks : Networks
    extension : MaskExtension
    ahead : int
        How many blocks the networks may work on before the first result must be ready. With more
        than one, a fast network need not wait for a slow one; each makes the delay a block longer.
    rfft : callable
        See `Analysis`.
    residual : bool
        Whether the last stem has no network: it is the mixture without the other stems.
    masks : MaskKind
        What the networks return, and how masks are made of it. A softmax needs all networks, so it
        excludes a residual.

    Attributes
    ----------
    latency : int
        Frames by which the stream of hops that comes out is later than the one that goes in. A hop
        comes out only after a whole hop went in: counted from its first frame, add one hop.
    """

    def __init__(
        self,
        scheme: Scheme,
        stems: int,
        networks: Networks,
        extension: MaskExtension,
        ahead: int = 1,
        rfft: RealFft = numpys_rfft,
        residual: bool = False,
        masks: MaskKind = "sigmoid",
    ) -> None:
        self.scheme = scheme
        self.stems = stems
        grid, more = scheme.grid, (ahead - 1) * scheme.B
        self.latency = scheme.delay + (more - 1) * grid.hop_length
        self.blocks = BlockCounts()
        self._networks = networks
        self._analysis = Analysis(grid, CHANNELS, rfft)
        self._synthesis = Synthesis(grid, stems * CHANNELS)
        self._mask = RatioMask(grid, stems, extension)
        self._age = 2 * scheme.B + scheme.A - 1 + more  # of a spectrum when it is emitted, in hops
        # A ring: hop n's spectrum is in row n, modulo its length.
        self._spectra = np.zeros((self._age + MAX_HOPS, CHANNELS, grid.n_bins), np.complex64)
        self._masked = np.empty((MAX_HOPS, stems, CHANNELS, grid.n_bins), np.complex64)
        self._ahead = ahead
        self._residual = residual
        self._masks = masks
        self._collecting, *self._spare = (Bank(scheme, stems) for _ in range(ahead + 1))
        self._submitted: deque[Bank] = deque()
        self._emitting: Bank | None = None  # None while the last masks are held
        self._missed = False
        self._hops = 0

    def extend_masks(self, extension: MaskExtension) -> None:
        """Change the masks above the networks' last bin, from the next spectrum on (any thread)."""
        self._mask.extension = extension

    def process(self, hops: Waveform, out: Waveform) -> Waveform:
        """Separate any number of hops of the mixture, and write as many of every stem.

        Parameters
        ----------
        hops : float32 [shape=(CHANNELS, hops * hop_length)]
        out : float32 [shape=(stems * CHANNELS, hops * hop_length)]
            First stem left, first stem right, second stem left, …

        Returns
        -------
        out
        """
        done, hop_length = 0, self.scheme.grid.hop_length
        while left := hops.shape[1] // hop_length - done:
            count = self._at_once(left)
            now = slice(done * hop_length, (done + count) * hop_length)
            self._hear(hops[:, now], count)
            if self._hops % self.scheme.B == 0:
                self._turn()
            self._synthesis.process(self._shape(count), out[:, now])
            done += count
        return out

    def _at_once(self, left: int) -> int:
        """Return how many of the remaining hops can be processed together."""
        # The hop that fills a block goes alone: once it is heard the networks are handed the bank,
        # and the estimates that fall due then already shape the spectrum that it sends out.
        before_full = self.scheme.B - 1 - self._hops % self.scheme.B
        # Nor do they go beyond the end of the ring, where they are written and where they are read.
        ring = len(self._spectra)
        to_write, to_read = ring - self._hops % ring, ring - (self._hops - self._age) % ring
        return min(left, MAX_HOPS, before_full or 1, to_write, to_read)

    def _hear(self, hops: Waveform, count: int) -> None:
        """Analyse the hops into the history of spectra and into the bank that collects."""
        row = self._hops % len(self._spectra)
        spectra = self._analysis.process(hops, out=self._spectra[row : row + count])
        self._collecting.hear(self._hops % self.scheme.B, spectra)
        self._hops += count

    def _turn(self) -> None:
        """Give the full bank to the networks, and take the one that is due."""
        full = self._collecting
        due = self._submitted[0] if len(self._submitted) == self._ahead else None
        finished = due is None or self._networks.collect(due)
        self._emitting = due if finished and not self._missed else None
        if due:
            self.blocks.count(late=self._emitting is None)
        if due and finished:
            self._complete(due)
        if finished:
            full.mirror_future()
            full.number = self._hops // self.scheme.B
            self._networks.submit(full)
            self._submitted.append(full)
            self._collecting = self._submitted.popleft() if due else self._spare.pop()
        # Else the networks still hold every other bank: this one goes on collecting, its block is
        # never estimated, and what they are at comes too late to be of use.
        self._missed = not finished
        self._collecting.slide_from(full)

    def _complete(self, bank: Bank) -> None:
        """Turn what the networks returned into estimates."""
        if self._masks == "softmax":
            bank.share_by_softmax()
        if self._residual:
            bank.estimate_residual()
        if self._masks == "vocals-first":
            bank.put_first_stem_first()

    def _shape(self, count: int) -> Spectra | None:
        """Mask the spectra due for every stem [shape=(count, stems * CHANNELS, n_bins)].

        None is silence, of which a file has a whole delay before its first hop.
        """
        first = self._hops - count
        masks = self._mask.newest
        if self._emitting is not None:
            row = (first + 1) % self.scheme.B
            masks = self._mask.update(self._emitting.estimates[:, row : row + count])
            self.blocks.bad_estimates = self._mask.bad
        row = (first - self._age) % len(self._spectra)
        due = self._spectra[row : row + count, np.newaxis]
        if first < self._age or is_silent(due):
            return None
        masked = self._masked[:count]
        np.multiply(masks, due, out=masked)
        return masked.reshape(count, -1, masked.shape[-1])
