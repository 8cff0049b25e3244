"""Streaming short-time Fourier transform and its inverse, some hops at a time.

Periodic Hann windows on both sides, as the networks were trained with. Where R of them overlap, the
squared windows add up to 3/8 R; the synthesis window is divided by that.
(Griffin and Lim, "Signal estimation from modified short-time Fourier transform", 1984.)
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stemd.dsp.arrays import Spectra, Waveform
from stemd.dsp.scheme import MAX_HOPS, Grid


def hann(n_fft: int) -> Waveform:
    """Return the periodic Hann window [shape=(n_fft,)].

    It equals ``scipy.signal.get_window("hann", n_fft)``, whose import needs much memory.
    """
    n = np.arange(n_fft)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / n_fft)
    return window.astype(np.float32)


def is_silent(values: Waveform | Spectra) -> bool:
    """Whether all values are zero; in music, usually the first one is not."""
    return not (values.item(0) or values.any())


RealFft: TypeAlias = Callable[[Waveform, Spectra], object]
"""Writes the transform of each row of the first array [shape=(..., n_fft)] into the second."""


_HAS_FLOAT32 = np.lib.NumpyVersion(np.__version__) >= "2.0.0"
"""Whether NumPy transforms float32 in single precision; before, in double, which is slower."""


def numpys_rfft(frames: Waveform, out: Spectra) -> None:
    """Transform with NumPy: SciPy is faster, but its import needs much memory."""
    if _HAS_FLOAT32:
        np.fft.rfft(frames, out=out)  # type: ignore[arg-type] # the stubs know doubles only
    else:
        out[:] = np.fft.rfft(frames)


def _irfft(spectra: Spectra, out: Waveform) -> None:
    if _HAS_FLOAT32:
        np.fft.irfft(spectra, out.shape[-1], out=out)  # type: ignore[arg-type] # as above
    else:
        out[:] = np.fft.irfft(spectra, out.shape[-1])


class Analysis:
    """Turns each hop into the spectrum of the window that ends with it.

    Parameters
    ----------
    grid : Grid
    channels : int
    rfft : callable
        The transform; by default NumPy's, because a faster one needs more memory.
    """

    def __init__(self, grid: Grid, channels: int, rfft: RealFft = numpys_rfft) -> None:
        self._rfft = rfft
        self._window = hann(grid.n_fft)
        self._shared = grid.n_fft - grid.hop_length  # frames that a window shares with the next one
        # The end of what came before, and behind it the hops that come now.
        self._heard = np.zeros((channels, self._shared + MAX_HOPS * grid.hop_length), np.float32)
        # The same memory seen as what each hop's spectrum is of, and room for that times the window
        # [shape=(MAX_HOPS, channels, n_fft)].
        frames = sliding_window_view(self._heard, grid.n_fft, axis=1)[:, :: grid.hop_length]
        self._frames = frames.swapaxes(0, 1)
        self._windowed = np.empty(self._frames.shape, np.float32)

    def process(self, hops: Waveform, out: Spectra) -> Spectra:
        """Transform hops, MAX_HOPS at most, and write the spectrum of each.

        Parameters
        ----------
        hops : float32 [shape=(channels, hops * hop_length)]
        out : complex64 [shape=(hops, channels, n_bins)]

        Returns
        -------
        out
        """
        shared = self._shared
        heard = self._heard[:, : shared + hops.shape[1]]
        heard[:, shared:] = hops
        if is_silent(heard):
            out[:] = 0
        else:
            windowed = self._windowed[: len(out)]
            np.multiply(self._frames[: len(out)], self._window, out=windowed)
            self._rfft(windowed, out)
        heard[:, :shared] = heard[:, -shared:]
        return out


class Synthesis:
    """Turns each spectrum into the hop of samples that it completes, by overlap and add.

    The hop completed is the first one of the spectrum's window: where R windows overlap, the
    spectrum of a window that ends with hop ``k`` completes hop ``k - (R - 1)``.

    Attributes
    ----------
    latency : int
        Delay in frames through `Analysis` and `Synthesis`: n_fft − hop_length.
    """

    def __init__(self, grid: Grid, channels: int) -> None:
        self.latency = grid.n_fft - grid.hop_length
        self._hop_length = grid.hop_length
        self._window = hann(grid.n_fft) / np.float32(3 / 8 * grid.overlap)
        # What the windows so far add to the hops that are not complete.
        self._overlap = np.zeros((channels, self.latency), np.float32)
        self._frames = np.empty((MAX_HOPS, channels, grid.n_fft), np.float32)

    def process(self, spectra: Spectra | None, out: Waveform) -> Waveform:
        """Synthesise spectra, MAX_HOPS at most, and write the hops that they complete.

        Parameters
        ----------
        spectra : complex64 [shape=(hops, channels, n_bins)]
            None if all are silent, which takes less time.
        out : float32 [shape=(channels, hops * hop_length)]

        Returns
        -------
        out
        """
        frames = self._frames[: out.shape[1] // self._hop_length]
        if spectra is not None:
            _irfft(spectra, frames)
            frames *= self._window
        elif self._overlap.any():
            frames[:] = 0
        else:
            out[:] = 0
            return out
        # One after the other, so that what is added first does not depend on how many come at once.
        overlap, hop_length = self._overlap, self._hop_length
        for frame in frames:
            frame[:, : self.latency] += overlap
            overlap = frame[:, hop_length:]
        self._overlap[:] = overlap
        hops = out.reshape(len(out), -1, hop_length)
        hops[:] = frames[..., :hop_length].swapaxes(0, 1)
        return out
