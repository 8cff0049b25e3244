"""The grid of spectra that networks get, and the sliding window of the separation."""

from dataclasses import dataclass, field

SAMPLERATE = 44_100
"""Frames per second at which all networks are trained."""

CHANNELS = 2
"""All networks are trained on stereo."""

MAX_HOPS = 8
"""The most hops that the signal processing takes at once; for more, the caches are too small.

It limits the memory between the steps: for Spleeter 0.1 MB for each hop, and as much for each stem.
"""

MAX_T = 1024
"""Spectra in the longest window: twice Spleeter's."""

LEAST_HOP = 147
"""The shortest hop in frames. At 48 kHz and its multiples, 147 frames of the networks' rate last as
long as a whole number of frames of the server, so a silence of up to 146 frames makes the latency
whole at both rates (see `pipeline`). It must be shorter than a hop."""

LEAST_OVERLAP = 3
"""The fewest windows that overlap: three or more squared Hann windows add up to a constant."""


@dataclass(frozen=True)
class Grid:
    """The times and frequencies of the spectra that a family of networks gets.

    Attributes
    ----------
    n_fft : int
        Frames in one window of the short-time Fourier transform.
    hop_length : int
        Frames from one spectrum to the next.
    model_bins : int
        Frequency bins that the networks get, from 0 Hz up; above them, the masks are extended.
    stride : int
        The networks' window is a multiple of this number of spectra.

    Raises
    ------
    ValueError
        The numbers do not fit together.
    """

    n_fft: int
    hop_length: int
    model_bins: int
    stride: int

    def __post_init__(self) -> None:
        """Check every rule that ties the numbers together."""
        if self.hop_length < 1 or self.n_fft % self.hop_length or self.overlap < LEAST_OVERLAP:
            raise ValueError(
                f"n_fft must be a multiple of hop_length, at least {LEAST_OVERLAP} times it "
                f"(got {self.n_fft} and {self.hop_length})"
            )
        if self.hop_length < LEAST_HOP:
            raise ValueError(
                f"hop_length must be at least {LEAST_HOP} (got {self.hop_length}), or the stems "
                "would not add up to the input at 48 kHz"
            )
        if not 1 <= self.model_bins <= self.n_bins:
            raise ValueError(f"model_bins must be from 1 to {self.n_bins} (got {self.model_bins})")
        if not 1 <= self.stride <= MAX_T:
            raise ValueError(f"stride must be from 1 to {MAX_T} (got {self.stride})")

    @property
    def n_bins(self) -> int:
        """Frequency bins of a spectrum."""
        return self.n_fft // 2 + 1

    @property
    def overlap(self) -> int:
        """How many windows contain a frame."""
        return self.n_fft // self.hop_length


SPLEETER = Grid(n_fft=4096, hop_length=1024, model_bins=1024, stride=64)
"""The grid of Spleeter's networks, and the default of schemes. Networks of another family have
their own grid."""


@dataclass(frozen=True)
class Scheme:
    """The sliding window: how many spectra the networks get, and which they estimate.

    The window has ``T`` spectra. The last ``mirror`` of them are still in the future: they repeat
    the newest spectra backwards. Each block returns ``B`` spectra, ``A`` before the newest one.

    Attributes
    ----------
    T : int
        Spectra in the window, a multiple of the grid's stride.
    B : int
        Spectra that each block returns, and hops that it collects.
    A : int
        Look-ahead: spectra after the last returned one, up to the newest one.
    mirror : int
        Spectra at the end of the window that mirror the newest ones.
    grid : Grid
        What the spectra are.

    Raises
    ------
    ValueError
        If the numbers do not fit into each other.
    """

    T: int
    B: int
    A: int
    mirror: int = 0
    grid: Grid = field(default=SPLEETER, kw_only=True)

    def __post_init__(self) -> None:
        """Check every rule that ties the numbers together."""
        stride = self.grid.stride
        if not stride <= self.T <= MAX_T or self.T % stride:
            raise ValueError(
                f"T must be a multiple of {stride} from {stride} to {MAX_T} (got {self.T})"
            )
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
    def numbers(self) -> dict[str, int]:
        """The numbers of spectra by name, without the grid."""
        return {"T": self.T, "B": self.B, "A": self.A, "mirror": self.mirror}

    @property
    def heard(self) -> int:
        """Rows of the window with spectra of the input; the others are mirrored."""
        return self.T - self.mirror

    @property
    def delay(self) -> int:
        """Delay of the separation in frames at 44.1 kHz: a window, the look-ahead, two blocks."""
        return self.grid.n_fft + (self.A + 2 * self.B - 1) * self.grid.hop_length

    @property
    def block_s(self) -> float:
        """Seconds from one block to the next."""
        return self.B * self.grid.hop_length / SAMPLERATE

    def __str__(self) -> str:
        """Return the numbers as they are written in the configuration."""
        mirror = f" mirror={self.mirror}" if self.mirror else ""
        return f"T={self.T} B={self.B} A={self.A}{mirror}"


def offline(grid: Grid) -> Scheme:
    """Return the scheme for whole songs: segments of 512 spectra, or as many as the grid allows."""
    spectra = max(grid.stride, 512 - 512 % grid.stride)
    return Scheme(T=spectra, B=spectra, A=0, grid=grid)


OFFLINE = offline(SPLEETER)
"""Spleeter's own scheme."""
