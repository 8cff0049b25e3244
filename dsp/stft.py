"""Streaming short-time Fourier transform and its inverse, one hop at a time.

Periodic Hann windows on both sides, as the networks were trained with; four windows overlap, so
the squared windows add up to 3/2, which the synthesis window takes back.
(Griffin and Lim, "Signal estimation from modified short-time Fourier transform", 1984.)
"""

from typing import cast

import numpy as np

from stemd.dsp.arrays import Spectrum, Waveform
from stemd.dsp.scheme import HOP_LENGTH, N_FFT

OVERLAP = N_FFT // HOP_LENGTH


def hann() -> Waveform:
    """Return the periodic Hann window cut into hops [shape=(OVERLAP, HOP_LENGTH)]."""
    n = np.arange(N_FFT)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / N_FFT)
    return window.astype(np.float32).reshape(OVERLAP, HOP_LENGTH)


class Analysis:
    """Turns each hop into the spectrum of the window that ends with it."""

    def __init__(self, channels: int) -> None:
        self._window = hann()
        # The last OVERLAP hops, and the windowed frame, both cut into hops:
        self._hops = np.zeros((OVERLAP, channels, HOP_LENGTH), np.float32)
        self._frame = np.empty((channels, OVERLAP, HOP_LENGTH), np.float32)

    def process(self, hop: Waveform, out: Spectrum) -> Spectrum:
        """Take one hop and write the newest spectrum.

        Parameters
        ----------
        hop : float32 [shape=(channels, HOP_LENGTH)]
        out : complex64 [shape=(channels, N_BINS)]

        Returns
        -------
        out
        """
        self._hops[:-1] = self._hops[1:]
        self._hops[-1] = hop
        np.multiply(self._hops.transpose(1, 0, 2), self._window, out=self._frame)
        frame = self._frame.reshape(len(self._frame), N_FFT)
        # The stubs know double precision only; NumPy 2 transforms float32 as it is.
        return cast(Spectrum, np.fft.rfft(frame, out=out))  # type: ignore[arg-type]


class Synthesis:
    """Turns each spectrum into the hop of samples that it completes, by overlap and add.

    The hop completed is the first one of the spectrum's window: the spectrum of a window that
    ends with hop ``k`` completes hop ``k - OVERLAP + 1``. Through `Analysis` and `Synthesis` the
    delay is therefore ``latency`` = N_FFT − HOP_LENGTH frames.
    """

    latency = N_FFT - HOP_LENGTH

    def __init__(self, channels: int) -> None:
        self._window = hann() / np.float32(1.5)
        self._sum = np.zeros((channels, OVERLAP, HOP_LENGTH), np.float32)
        self._frame = np.empty((channels, N_FFT), np.float32)

    def process(self, spectrum: Spectrum, out: Waveform) -> Waveform:
        """Take one spectrum and write the hop it completes.

        Parameters
        ----------
        spectrum : complex64 [shape=(channels, N_BINS)]
        out : float32 [shape=(channels, HOP_LENGTH)]

        Returns
        -------
        out
        """
        np.fft.irfft(spectrum, N_FFT, out=self._frame)  # type: ignore[arg-type] # as above
        frame = self._frame.reshape(self._sum.shape)
        frame *= self._window
        self._sum += frame
        out[:] = self._sum[:, 0]
        self._sum[:, :-1] = self._sum[:, 1:]
        self._sum[:, -1] = 0
        return out
