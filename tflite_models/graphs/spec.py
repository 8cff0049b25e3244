"""What determines a graph besides the weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, get_args

PlainPrecision = Literal["fp32", "fp16"]
"""Of the kernels in the files of a set; arithmetic is float32."""
StreamingPrecision = Literal["fp32", "mixed", "int8"]
"""Of the arithmetic of what runs, from the most exact to the roughest. int8: all convolutions are 8
bits wide; mixed: except those in sensitive layers. A family has some of them: see `Family`."""
Precision = Literal[PlainPrecision, StreamingPrecision]

OutputKind = Literal["sigmoid", "softmax"]
"""What networks write. sigmoid: each its stem's magnitudes, masked by itself; softmax: each logits,
and the masks share every bin among all stems."""
MaskKind = Literal[OutputKind, "vocals-first"]
"""How a set's masks are made of what its networks write. vocals-first: of magnitudes, as sigmoid,
but the first stem keeps what its network estimates, and the others share what that leaves."""

CHANNELS = 2
"""All networks are trained on stereo."""
MAX_T = 1024
"""Spectra in the longest window."""


@dataclass(frozen=True)
class GraphSpec:
    """A window of T spectra of which B are emitted.

    From the oldest spectrum to the newest the window is: context, B emitted spectra, A of
    look-ahead, `mirror` spectra that the caller fills by mirroring the newest ones.

    Raises
    ------
    ValueError
        A number breaks its rule; the message names number and rule.
    """

    T: int = 128
    """Spectra the network sees, up to 1024; a multiple of its family's stride."""
    B: int = 128
    """Spectra emitted, at least 1."""
    A: int = 0
    """Look-ahead: spectra of the true future, after the emitted ones."""
    mirror: int = 0
    """Spectra at the end of the window that mirror those before."""
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        if not 1 <= self.T <= MAX_T:
            raise ValueError(f"T={self.T} is not from 1 to {MAX_T}")
        if self.B < 1:
            raise ValueError(f"B={self.B} is not at least 1")
        for name, value in (("A", self.A), ("mirror", self.mirror)):
            if value < 0:
                raise ValueError(f"{name}={value} is below 0")
        if self.B + self.A + self.mirror > self.T:
            raise ValueError(
                f"B + A + mirror = {self.B} + {self.A} + {self.mirror} is more than T={self.T}"
            )
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision={self.precision!r} is none of {get_args(Precision)}")

    @property
    def first(self) -> int:
        """The row of the window where the emitted spectra begin."""
        return self.T - self.mirror - self.A - self.B

    def as_dict(self) -> dict[str, int | str]:
        """Return the fields by name, for keys and metadata."""
        return asdict(self)

    def __str__(self) -> str:
        return f"T{self.T}-B{self.B}-A{self.A}-m{self.mirror}-{self.precision}"
