"""The sizes of the transform, and the sliding window that the networks look through."""

from dataclasses import dataclass

SAMPLERATE = 44_100
"""Frames per second at which the networks were trained."""

N_FFT = 4096
"""Frames in one window of the STFT."""

HOP_LENGTH = 1024
"""Frames from one spectrum to the next."""

N_BINS = N_FFT // 2 + 1
"""Frequency bins of a spectrum."""

MODEL_BINS = 1024
"""Bins that the networks see, up to 11 kHz; above, the mask is extended."""

CHANNELS = 2
"""The networks were trained on stereo."""

MAX_HOPS = 8
"""Hops that go through the signal processing at once at most; of more the caches are too small.

It bounds the memory of what lies between the steps: 0.1 MB for each hop, and as much for each stem.
"""

MAX_T = 1024
"""Spectra in the longest window: twice Spleeter's, 24 seconds."""


@dataclass(frozen=True)
class Scheme:
    """How much the networks see and how much of it they emit.

    The window holds ``T`` spectra. Its last ``mirror`` ones are not heard yet: they repeat the
    newest ones backwards. Each block, ``B`` spectra are emitted that lie ``A`` behind the newest.

    Attributes
    ----------
    T : int
        Spectra in the window, a multiple of 64 (the U-Net halves them six times).
    B : int
        Spectra emitted, and hops collected, for each block.
    A : int
        Look-ahead: spectra between the last one emitted and the newest one heard, inclusive.
    mirror : int
        Spectra at the end of the window that mirror the newest ones instead of being heard.

    Raises
    ------
    ValueError
        If the numbers do not fit into each other.
    """

    T: int
    B: int
    A: int
    mirror: int = 0

    def __post_init__(self) -> None:
        """Check every rule that ties the numbers together."""
        if not 64 <= self.T <= MAX_T or self.T % 64:
            raise ValueError(f"T must be a multiple of 64 from 64 to {MAX_T} (got {self.T})")
        if self.B < 1:
            raise ValueError(f"B must be at least 1 (got {self.B})")
        if self.A < 0:
            raise ValueError(f"A must be at least 0 (got {self.A})")
        if not 0 <= 2 * self.mirror < self.T:
            raise ValueError(f"mirror must be from 0 to less than half of T (got {self.mirror})")
        if self.A + self.B + self.mirror > self.T:
            raise ValueError(
                f"A + B + mirror must be at most T "
                f"(got {self.A} + {self.B} + {self.mirror} > {self.T})"
            )

    @property
    def heard(self) -> int:
        """Rows of the window that hold spectra which were heard."""
        return self.T - self.mirror

    @property
    def delay(self) -> int:
        """Delay of the separation in frames at 44.1 kHz: a window, the look-ahead, two blocks."""
        return N_FFT + (self.A + 2 * self.B - 1) * HOP_LENGTH

    def __str__(self) -> str:
        """Return the numbers as they are written in the configuration."""
        mirror = f" mirror={self.mirror}" if self.mirror else ""
        return f"T={self.T} B={self.B} A={self.A}{mirror}"


OFFLINE = Scheme(T=512, B=512, A=0)
"""Spleeter's scheme: segments of 512 spectra, each seen whole."""
