"""From the networks' estimates to each stem's share of the mixture."""

from enum import StrEnum

import numpy as np

from stemd.dsp.arrays import Magnitudes, Masks
from stemd.dsp.scheme import CHANNELS, MODEL_BINS, N_BINS

EPSILON = 1e-10
"""Keeps silence from dividing by zero; the official program's value."""


class MaskExtension(StrEnum):
    """What the masks are above the networks' last bin (11 kHz)."""

    MEAN = "mean"
    """The mean of the mask over the bins below: the stems then sum to the mixture."""

    ZEROS = "zeros"
    """Nothing: the official program's default; the stems lack the top octave."""


class RatioMask:
    """Shares each bin among the stems by the power that the networks estimate there.

    ``(e_i² + ε/n) / (Σ e_j² + ε)``, the generalised Wiener filter with which the networks were
    published (Hennequin et al., "Spleeter", JOSS 2020).
    """

    def __init__(self, stems: int, extension: MaskExtension) -> None:
        self._extension = extension
        self._power = np.empty((stems, CHANNELS, MODEL_BINS), np.float32)
        self._total = np.empty((CHANNELS, MODEL_BINS), np.float32)
        self.masks = np.empty((stems, CHANNELS, N_BINS), np.float32)
        """The newest masks, held until `update`; at first everything is shared equally."""
        self.masks[:] = 1 / stems
        if extension is MaskExtension.ZEROS:
            self.masks[..., MODEL_BINS:] = 0

    def update(self, estimates: Magnitudes) -> Masks:
        """Compute the masks of one spectrum.

        Parameters
        ----------
        estimates : float32 [shape=(stems, MODEL_BINS, CHANNELS)]
            Magnitudes, one row from each network.

        Returns
        -------
        self.masks
        """
        np.square(estimates.transpose(0, 2, 1), out=self._power)
        np.sum(self._power, axis=0, out=self._total)
        self._power += np.float32(EPSILON / len(self._power))
        self._total += np.float32(EPSILON)
        low = self.masks[..., :MODEL_BINS]
        np.divide(self._power, self._total, out=low)
        if self._extension is MaskExtension.MEAN:
            self.masks[..., MODEL_BINS:] = low.mean(axis=-1, keepdims=True)
        return self.masks
