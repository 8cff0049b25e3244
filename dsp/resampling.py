"""Streaming sample-rate conversion by libsoxr, with its delay accounted for."""

from functools import cache
from math import ceil
from typing import TYPE_CHECKING, cast

import numpy as np

from stemd.dsp.arrays import Waveform

if TYPE_CHECKING:
    import soxr

PROBE_CHUNK = 16
"""Block size in frames for measuring the delay, which may be underestimated by as much."""


class RateConverter:
    """Converts a stream from one sample rate to another.

    libsoxr compensates its filters' delay: frame ``n`` of the output belongs to the time
    ``n / rate_out`` of the input. But it returns frames later, in bursts. The output does not
    depend on the sizes of the input's blocks.

    Attributes
    ----------
    held : int
        The most frames (at ``rate_out``) by which the output can be later than the input.
    """

    def __init__(self, rate_in: int, rate_out: int, channels: int) -> None:
        self._stream = _stream(rate_in, rate_out, channels)
        self.held = _measure_held(rate_in, rate_out)

    def process(self, block: Waveform) -> Waveform:
        """Convert a block of any length; return the frames that are ready, perhaps none.

        Parameters
        ----------
        block : float32 [shape=(channels, frames)]

        Returns
        -------
        float32 [shape=(channels, frames out)]
        """
        return cast(Waveform, self._stream.resample_chunk(np.ascontiguousarray(block.T)).T)


def _stream(rate_in: int, rate_out: int, channels: int) -> "soxr.ResampleStream":
    import soxr  # late: at 44.1 kHz it is not needed

    return soxr.ResampleStream(rate_in, rate_out, channels, dtype="float32", quality="HQ")


@cache
def _measure_held(rate_in: int, rate_out: int) -> int:
    """Convert half a second of silence; the bursts repeat within much less."""
    stream = _stream(rate_in, rate_out, 1)
    silence = np.zeros((PROBE_CHUNK, 1), np.float32)
    given = taken = 0
    held = 0.0
    while given < rate_in / 2:
        given += PROBE_CHUNK
        taken += len(stream.resample_chunk(silence))
        held = max(held, given * rate_out / rate_in - taken)
    return ceil(held + PROBE_CHUNK * rate_out / rate_in)
