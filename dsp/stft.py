"""Streaming short-time Fourier transform and its inverse, some hops at a time.

Periodic Hann windows on both sides, as the networks were trained with; four windows overlap, so
the squared windows add up to 3/2, which the synthesis window takes back.
(Griffin and Lim, "Signal estimation from modified short-time Fourier transform", 1984.)
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stemd.dsp.arrays import Spectra, Waveform
from stemd.dsp.scheme import HOP_LENGTH, MAX_HOPS, N_FFT

OVERLAP = N_FFT - HOP_LENGTH
"""Frames that a window shares with the next one."""


def hann() -> Waveform:
    """Return the periodic Hann window [shape=(N_FFT,)].

    It is ``scipy.signal.get_window("hann", N_FFT)``, the import of which takes 73 MB.
    """
    n = np.arange(N_FFT)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / N_FFT)
    return window.astype(np.float32)


def _any(values: Waveform | Spectra) -> bool:
    """Whether anything is not zero; in music the first value mostly is not."""
    return bool(values.item(0) or values.any())


RealFft: TypeAlias = Callable[[Waveform, Spectra], object]
"""Writes the transform of each row of the first array [shape=(..., N_FFT)] into the second."""


_HAS_FLOAT32 = np.lib.NumpyVersion(np.__version__) >= "2.0.0"
"""Whether NumPy transforms float32 in single precision; before, in double, which is slower."""


def numpys_rfft(frames: Waveform, out: Spectra) -> None:
    """Transform by NumPy: SciPy would save 13 µs a hop, and take 23 MB of memory."""
    if _HAS_FLOAT32:
        np.fft.rfft(frames, out=out)  # type: ignore[arg-type] # the stubs know doubles only
    else:
        out[:] = np.fft.rfft(frames)


def _irfft(spectra: Spectra, out: Waveform) -> None:
    if _HAS_FLOAT32:
        np.fft.irfft(spectra, N_FFT, out=out)  # type: ignore[arg-type] # as above
    else:
        out[:] = np.fft.irfft(spectra, N_FFT)


class Analysis:
    """Turns each hop into the spectrum of the window that ends with it.

    Parameters
    ----------
    channels : int
    rfft : callable
        What transforms; another one than NumPy's where that is worth its memory.
    """

    def __init__(self, channels: int, rfft: RealFft = numpys_rfft) -> None:
        self._rfft = rfft
        self._window = hann()
        # The end of what came before, and behind it the hops that come now.
        self._heard = np.zeros((channels, OVERLAP + MAX_HOPS * HOP_LENGTH), np.float32)
        # The same memory seen as what each hop's spectrum is of, and room for that times the window
        # [shape=(MAX_HOPS, channels, N_FFT)].
        frames = sliding_window_view(self._heard, N_FFT, axis=1)[:, ::HOP_LENGTH]
        self._frames = frames.swapaxes(0, 1)
        self._windowed = np.empty(self._frames.shape, np.float32)

    def process(self, hops: Waveform, out: Spectra) -> Spectra:
        """Transform hops, MAX_HOPS at most, and write the spectrum of each.

        Parameters
        ----------
        hops : float32 [shape=(channels, hops * HOP_LENGTH)]
        out : complex64 [shape=(hops, channels, N_BINS)]

        Returns
        -------
        out
        """
        heard = self._heard[:, : OVERLAP + hops.shape[1]]
        heard[:, OVERLAP:] = hops
        if _any(heard):
            windowed = self._windowed[: len(out)]
            np.multiply(self._frames[: len(out)], self._window, out=windowed)
            self._rfft(windowed, out)
        else:  # digital silence
            out[:] = 0
        heard[:, :OVERLAP] = heard[:, -OVERLAP:]
        return out


class Synthesis:
    """Turns each spectrum into the hop of samples that it completes, by overlap and add.

    The hop completed is the first one of the spectrum's window: the spectrum of a window that
    ends with hop ``k`` completes hop ``k - 3``. Through `Analysis` and `Synthesis` the delay is
    therefore ``latency`` = N_FFT − HOP_LENGTH frames.
    """

    latency = OVERLAP

    def __init__(self, channels: int) -> None:
        self._window = hann() / np.float32(1.5)
        # What the windows so far add to the hops that are not complete.
        self._overlap = np.zeros((channels, OVERLAP), np.float32)
        self._frames = np.empty((MAX_HOPS, channels, N_FFT), np.float32)

    def process(self, spectra: Spectra, out: Waveform) -> Waveform:
        """Synthesise spectra, MAX_HOPS at most, and write the hops that they complete.

        Parameters
        ----------
        spectra : complex64 [shape=(hops, channels, N_BINS)]
        out : float32 [shape=(channels, hops * HOP_LENGTH)]

        Returns
        -------
        out
        """
        frames = self._frames[: len(spectra)]
        if _any(spectra):
            _irfft(spectra, frames)
            frames *= self._window
        else:  # as nearly a thousand are before the first ones of a file
            frames[:] = 0
        # One after the other, so that what is added first does not depend on how many come at once.
        overlap = self._overlap
        for frame in frames:
            frame[:, :OVERLAP] += overlap
            overlap = frame[:, HOP_LENGTH:]
        self._overlap[:] = overlap
        hops = out.reshape(len(out), -1, HOP_LENGTH)
        hops[:] = frames[..., :HOP_LENGTH].swapaxes(0, 1)
        return out
