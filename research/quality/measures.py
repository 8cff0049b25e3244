"""How near a separated stem is to the true one."""

from collections.abc import Sequence
from math import ceil

import fast_bss_eval
import numpy as np
from numpy.typing import NDArray

from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import SAMPLERATE

BSS_FILTER = 512
"""Taps of the filter that BSSEval allows for."""
SILENCE_DBFS = -60.0
"""RMS below which a stem is silent."""
PIECE = SAMPLERATE // 4
"""Frames of the pieces in which silence is looked for."""
FLOOR = 1e-12
"""Power that stands for none: −120 dBFS."""


def sdr_db(truth: Waveform, estimate: Waveform) -> float:
    """Return the plain signal-to-distortion ratio, over the whole mix and both channels.

    ``10 log10 |s|² / |s − ŝ|²``: every difference counts, of level and of timbre too.
    """
    signal = np.sum(np.square(truth, dtype=np.float64))
    error = np.sum(np.square(truth.astype(np.float64) - estimate))
    return float(10 * np.log10(signal / error))


def si_sdr_db(truth: Waveform, estimate: Waveform) -> float:
    """Return the scale-invariant ratio: a difference of level alone is no distortion.

    Le Roux et al., "SDR: half-baked or well done?", 2019; one gain for both channels.
    """
    x, y = truth.astype(np.float64), estimate.astype(np.float64)
    target = x * (np.vdot(x, y) / np.vdot(x, x))
    return float(10 * np.log10(np.sum(target**2) / np.sum((target - y) ** 2)))


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


def power_db(x: Waveform | NDArray[np.complex64]) -> float:
    """Return the mean power in dB; of a waveform its RMS in dBFS."""
    return float(10 * np.log10(np.mean(np.square(np.abs(x), dtype=np.float64)) + FLOOR))


def silent_pieces(truth: Waveform) -> NDArray[np.bool_]:
    """Whether the truth is silent, for each piece of a quarter of a second."""
    return _powers(truth) < 10 ** (SILENCE_DBFS / 10)


def share_in_silence_db(truth: Waveform, estimate: Waveform, mixture: Waveform) -> float:
    """Return how much of the mixture's power is in a stem while that should be silent."""
    silent = silent_pieces(truth)
    powers = (_powers(each)[silent].sum() + FLOOR for each in (estimate, mixture))
    return float(10 * np.log10(np.divide(*powers)))


def _powers(x: Waveform) -> NDArray[np.float64]:
    pieces = x.shape[1] // PIECE
    parts = x[:, : pieces * PIECE].astype(np.float64).reshape(len(x), pieces, PIECE)
    return np.asarray(np.square(parts).mean(axis=(0, 2)))


def summary(values: Sequence[float], best: float = float("inf")) -> dict[str, float]:
    """Return mean, its standard error, median, the mean of the worst tenth, and the worst.

    Parameters
    ----------
    values : sequence of float
        NaN are left out.
    best : float
        inf where more is better, −inf where less is.
    """
    x = np.sort(np.asarray(values, np.float64))
    x = x[~np.isnan(x)] if best > 0 else x[~np.isnan(x)][::-1]
    if not len(x):
        return {"mixes": 0}
    error = float(x.std(ddof=1) / np.sqrt(len(x))) if len(x) > 1 else float("nan")
    return {
        "mixes": len(x),
        "mean": float(x.mean()),
        "error": error,
        "median": float(np.median(x)),
        "worst_tenth": float(x[: ceil(len(x) / 10)].mean()),
        "worst": float(x[0]),
    }
