"""What Spleeter's U-Net is made of, without its weights and without NumPy.

Six 5×5 stride-2 convolutions down, six transposed ones up, a 4×4 dilated one at the head.
Source: A. Jansson et al., "Singing voice separation with deep U-Net convolutional networks",
ISMIR 2017.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from stemd.tflite_models.graphs.spec import CHANNELS, MAX_T, GraphSpec, OutputKind

Activation = Literal["leaky_relu", "relu", "elu"]

LEAKY_SLOPE = 0.2
BINS = 1024
FILTERS = (16, 32, 64, 128, 256, 512)
"""Channels after each convolution of the encoder, in the official networks, …"""
LIGHT_FILTERS = (8, 16, 32, 64, 128, 256)
"""… and in light ones: a quarter of the weights, and of the work."""
DEPTH = len(FILTERS)
STRIDE = 2**DEPTH
"""The window is a multiple of so many spectra: each convolution of the encoder halves it."""


HEAD_REACH = 3
"""Rows before and after its own that the head reads: 4 taps, 2 rows apart."""

KEPT_FLOAT = frozenset({"encoder/1", "encoder/2", "decoder/5", "decoder/6", "head"})
"""Layers that `mixed` keeps in float32: little of the work, nearly all of int8's error.

Next to the input and the output the loudest bins are thousands of times louder than the others,
and share one scale with them. Found by quantizing layer by layer: docs/research/delay.md
has the figures. The head is too narrow to gain by 8 bits.
"""

SPLIT_FROM = 32
"""Outputs from which on the four parities of `Layers.subpixel` are convolutions of their own: so
wide, each keeps the interpreter's kernels busy, and 25 of 36 taps are left."""


@dataclass(frozen=True)
class Activations:
    """What follows each convolution: in the encoder after, in the decoder before the norm."""

    encoder: Activation
    decoder: Activation


@dataclass(frozen=True)
class Architecture:
    """What a checkpoint does not say of itself."""

    stems: tuple[str, ...]
    """In the order in which the variables are numbered."""
    activations: Activations
    filters: tuple[int, ...] = FILTERS
    """Channels after each convolution of the encoder."""
    masks: OutputKind = "sigmoid"

    @property
    def checkpoint_bytes(self) -> int:
        """Of all weights in a checkpoint: float32, each norm of four vectors."""
        kernels = sum(25 * inputs * outputs for _, inputs, outputs in widths(self.filters))
        vectors = sum(5 * outputs for _, _, outputs in widths(self.filters))  # a bias, the norm's
        head = 16 * CHANNELS + CHANNELS
        return 4 * len(self.stems) * (kernels + vectors + head)


def widths(filters: tuple[int, ...] = FILTERS) -> Iterator[tuple[str, int, int]]:
    """Yield each 5×5 convolution's name, input channels and output channels, in order."""
    up = (*filters[-2::-1], 1)
    joined = (filters[-1], *(2 * width for width in up[:-1]))
    sides = {"encoder": ((CHANNELS, *filters[:-1]), filters), "decoder": (joined, up)}
    for side, channels in sides.items():
        for level, (inputs, outputs) in enumerate(zip(*channels, strict=True), 1):
            yield f"{side}/{level}", inputs, outputs


def check_window(spec: GraphSpec) -> None:
    """Raise ValueError unless the window can be halved by every convolution of the encoder."""
    if spec.T % STRIDE:
        raise ValueError(f"T={spec.T} is not a multiple of {STRIDE} from {STRIDE} to {MAX_T}")


def rows_needed(spec: GraphSpec) -> list[tuple[int, int]]:
    """Return which rows of each level reach the emitted ones.

    Returns
    -------
    list of (start, stop)
        By level: 0 is the head's input, of T rows, and `DEPTH` the bottleneck, of T / 64.
    """
    start, stop = spec.first, spec.first + spec.B
    start, stop = max(start - HEAD_REACH, 0), min(stop + HEAD_REACH, spec.T)
    needed = [(start, stop)]
    for level in range(1, DEPTH + 1):
        start = max(start // 2 - 1, 0)
        stop = min(stop // 2 + 1, spec.T >> level)  # the last row of an odd number is an even one
        needed.append((start, stop))
    return needed
