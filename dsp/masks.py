"""From the networks' estimates to each stem's share of the mixture."""

import numpy as np

from stemd.dsp.arrays import Magnitudes, Masks
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import CHANNELS, MAX_HOPS, Grid

EPSILON = 1e-10
"""Keeps silence from dividing by zero; Spleeter's value."""


LOUDEST_POWER = 1e30
"""More than the power of any valid estimate: the loudest permitted input gives 1e19."""


def share_rest(estimates: Magnitudes, mixture: Magnitudes) -> None:
    """Scale all stems but the first to what the first one leaves of the mixture, in place.

    Powers add up, as in `RatioMask`, whose first mask then is ``(e_0 / mixture)²``. The ratio of
    the other stems stays; what none of them claims, they share equally. A bad estimate counts as 0
    here and becomes NaN; see `RatioMask.bad`.

    Parameters
    ----------
    estimates : float32 [shape=(stems, spectra, model_bins, CHANNELS)]
    mixture : float32 [shape=(spectra, model_bins, CHANNELS)]
        Magnitudes.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        power = np.square(estimates)
        bad = None
        if not power.max(initial=0) < LOUDEST_POWER:  # nor where it is not a number
            bad = ~(power < LOUDEST_POWER)
            power[bad] = 0
        rest = np.square(mixture)
        rest -= power[0]
        np.maximum(rest, 0, out=rest)
        others = power[1:]
        others += EPSILON / max(len(others), 1)
        others *= rest / others.sum(axis=0)
        np.sqrt(others, out=estimates[1:])
        if bad is not None:
            estimates[bad] = np.nan


class RatioMask:
    """Shares each bin among the stems by the power that the networks estimate there.

    ``(e_i² + ε/n) / (Σ e_j² + ε)``, the generalised Wiener filter with which the networks were
    published (Hennequin et al., "Spleeter", JOSS 2020).

    Attributes
    ----------
    extension : MaskExtension
        For the next spectra.
    newest : float32 [shape=(stems, CHANNELS, n_bins)]
        The masks of the last spectrum, until `update`; at first all stems get the same share.
    bad : int
        Estimates so far that were not finite or absurdly large. They count as 0, so every
        mask stays between 0 and 1.
    """

    def __init__(self, grid: Grid, stems: int, extension: MaskExtension) -> None:
        self.extension = extension
        self.bad = 0
        self._bins = bins = grid.model_bins
        self._power = np.empty((stems, MAX_HOPS, CHANNELS, bins), np.float32)
        self._total = np.empty((MAX_HOPS, CHANNELS, bins), np.float32)
        self._masks = np.full((MAX_HOPS, stems, CHANNELS, grid.n_bins), 1 / stems, np.float32)
        if extension is MaskExtension.ZEROS:
            self._masks[..., bins:] = 0
        self.newest = self._masks[-1]

    def update(self, estimates: Magnitudes) -> Masks:
        """Compute the masks of some spectra, MAX_HOPS of them at most.

        Parameters
        ----------
        estimates : float32 [shape=(stems, spectra, model_bins, CHANNELS)]
            Magnitudes, a row for each spectrum from each network.

        Returns
        -------
        float32 [shape=(spectra, stems, CHANNELS, n_bins)]
            Its memory is used again by the next call.
        """
        spectra = estimates.shape[1]
        power, total = self._power[:, :spectra], self._total[:spectra]
        with np.errstate(over="ignore", invalid="ignore"):
            np.square(estimates.swapaxes(2, 3), out=power)
            power.sum(axis=0, out=total)
            if not total.max(initial=0) < LOUDEST_POWER:  # nor where it is not a number
                self._leave_out_bad(power)
                power.sum(axis=0, out=total)
        power += EPSILON / len(power)
        total += EPSILON
        masks, bins = self._masks[:spectra], self._bins
        low = masks[..., :bins]
        np.divide(power, total, out=low.swapaxes(0, 1))
        if self.extension is MaskExtension.MEAN:
            masks[..., bins:] = low.sum(axis=-1, keepdims=True) / bins
        else:
            masks[..., bins:] = 0
        self.newest = masks[-1]
        return masks

    def _leave_out_bad(self, power: Magnitudes) -> None:
        bad = ~(power < LOUDEST_POWER)
        self.bad += int(bad.sum())
        power[bad] = 0
