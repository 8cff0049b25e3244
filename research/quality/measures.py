"""How near a separated stem is to the true one."""

import fast_bss_eval
import numpy as np

from stemd.dsp.arrays import Waveform

BSS_FILTER = 512
"""Taps of the filter that BSSEval allows for."""


def sdr_db(truth: Waveform, estimate: Waveform) -> float:
    """Return the plain signal-to-distortion ratio, over the whole mix and both channels.

    ``10 log10 |s|² / |s − ŝ|²``: every difference counts, of level and of timbre too.
    """
    signal = np.sum(np.square(truth, dtype=np.float64))
    error = np.sum(np.square(truth.astype(np.float64) - estimate))
    return float(10 * np.log10(signal / error))


def bss_sdr_db(truth: Waveform, estimate: Waveform) -> float:
    """Return BSSEval's SDR of the whole mix, the mean of both channels.

    What a filter of 512 taps on the truth explains is no distortion. (Vincent, Gribonval and
    Févotte, "Performance measurement in blind audio source separation", 2006; computed as by
    Scheibler, "SDR, medium rare with fast computations", 2022.)
    """
    ratios = fast_bss_eval.sdr(
        truth[:, None].astype(np.float64), estimate[:, None].astype(np.float64), BSS_FILTER
    )
    return float(np.mean(ratios))
