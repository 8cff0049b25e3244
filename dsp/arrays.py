"""The arrays' types. NumPy's types do not hold shapes, so each name states one.

The sizes n_fft, hop_length, n_bins and model_bins are those of the networks' `Grid`.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Waveform: TypeAlias = NDArray[np.float32]
"""Samples, full scale ±1 [shape=(channels, frames)]."""

Spectra: TypeAlias = NDArray[np.complex64]
"""Columns of the STFT, each of every channel [shape=(spectra, channels, n_bins)]."""

Magnitudes: TypeAlias = NDArray[np.float32]
"""Absolute values of spectra, as networks get them [shape=(spectra, model_bins, channels)]."""

Masks: TypeAlias = NDArray[np.float32]
"""Each stem's share of the mixture, 0 to 1 [shape=(spectra, stems, channels, n_bins)]."""
