"""The arrays' types. NumPy's types do not hold shapes, so each name states one."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Waveform: TypeAlias = NDArray[np.float32]
"""Samples, full scale ±1 [shape=(channels, frames)]."""

Spectra: TypeAlias = NDArray[np.complex64]
"""Columns of the STFT, each of every channel [shape=(spectra, channels, N_BINS)]."""

Magnitudes: TypeAlias = NDArray[np.float32]
"""Absolute values of spectra as a network sees them [shape=(spectra, MODEL_BINS, channels)]."""

Masks: TypeAlias = NDArray[np.float32]
"""Each stem's share of the mixture, 0 to 1 [shape=(spectra, stems, channels, N_BINS)]."""
