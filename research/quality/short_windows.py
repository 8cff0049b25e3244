"""STFT windows whose synthesis covers only the newest part, so that it delays by less than 4096.

The analysis still has 4096 frames, so its bins are those of the networks and their masks apply as
they are. (Mauler and Martin, "A low delay, variable resolution, perfect reconstruction spectral
analysis-synthesis system for speech enhancement", EUSIPCO 2007.)
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import HOP_LENGTH, N_BINS, N_FFT
from stemd.dsp.stft import hann


@dataclass(frozen=True)
class WindowPair:
    """Analysis and synthesis windows that reconstruct perfectly.

    Attributes
    ----------
    analysis, synthesis : float32 [shape=(N_FFT,)]
        Their product, shifted by ``hop`` again and again, adds up to 1.
    length : int
        Frames of the synthesis window that are not zero, the newest ones: the delay.
    hop : int
        Frames from one spectrum to the next; divides HOP_LENGTH.
    """

    analysis: NDArray[np.float32]
    synthesis: NDArray[np.float32]
    length: int
    hop: int


def hann_pair() -> WindowPair:
    """Return the pair that the networks were trained with."""
    window = hann()
    return WindowPair(window, window / np.float32(1.5), N_FFT, HOP_LENGTH)


def asymmetric_pair(length: int) -> WindowPair:
    """Return a pair with a synthesis window of ``length`` frames, at half of it for a hop.

    The product is a Hann window of ``length``; the analysis window rises slowly and falls fast.
    """
    half = length // 2
    rise = np.sqrt(_hann(2 * (N_FFT - half))[: N_FFT - half])
    product = _hann(length)
    fall = np.sqrt(product[half:])
    analysis = np.concatenate([rise, fall])
    synthesis = np.zeros(N_FFT)
    synthesis[-length:-half] = product[:half] / rise[-half:]
    synthesis[-half:] = fall
    return WindowPair(
        analysis.astype(np.float32), synthesis.astype(np.float32), length, min(half, HOP_LENGTH)
    )


def spectra_of(x: Waveform, pair: WindowPair) -> NDArray[np.complex64]:
    """Return the spectra of a waveform [shape=(spectra, channels, N_BINS)].

    Spectrum ``n`` is of the window that ends with frame ``(n + 1) * hop``.
    """
    padded = np.pad(x, ((0, 0), (N_FFT - pair.hop, 0)))
    frames = sliding_window_view(padded, N_FFT, axis=1)[:, :: pair.hop].swapaxes(0, 1)
    spectra = np.empty((*frames.shape[:2], N_BINS), np.complex64)
    for frame, spectrum in zip(frames, spectra, strict=True):
        spectrum[:] = np.fft.rfft(frame * pair.analysis)
    return spectra


def waveform_of(spectra: NDArray[np.complex64], pair: WindowPair) -> Waveform:
    """Return the waveform from its first frame on; its end is not complete."""
    out = np.zeros((spectra.shape[1], N_FFT + len(spectra) * pair.hop), np.float32)
    for n, spectrum in enumerate(spectra):
        start = (n + 1) * pair.hop
        out[:, start : start + N_FFT] += np.fft.irfft(spectrum, N_FFT) * pair.synthesis
    return out[:, N_FFT : -pair.length]


def _hann(length: int) -> NDArray[np.float64]:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
