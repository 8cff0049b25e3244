"""The separator for blocks of any size at any sample rate."""

from collections.abc import Iterator
from math import ceil, gcd

import numpy as np

from stemd.dsp.arrays import Waveform
from stemd.dsp.resampling import RateConverter
from stemd.dsp.scheme import CHANNELS, MAX_HOPS, SAMPLERATE
from stemd.dsp.separator import Separator


class HopFramer:
    """Cuts a stream of blocks of any size into whole hops.

    Parameters
    ----------
    channels : int
    hop_length : int
        Frames in a hop.
    lead : int
        Frames of silence before the stream, less than a hop.
    """

    def __init__(self, channels: int, hop_length: int, lead: int = 0) -> None:
        self._hop_length = hop_length
        self._hops = np.zeros((channels, MAX_HOPS * hop_length), np.float32)
        self._filled = lead

    def push(self, block: Waveform) -> Iterator[Waveform]:
        """Yield the hops that the block completes [shape=(channels, hops * hop_length)].

        They come together, MAX_HOPS at most. Their memory is used again for the next ones.
        """
        while block.shape[1]:
            take = min(self._hops.shape[1] - self._filled, block.shape[1])
            self._hops[:, self._filled : self._filled + take] = block[:, :take]
            self._filled += take
            block = block[:, take:]
            rest = self._filled % self._hop_length
            if whole := self._filled - rest:
                yield self._hops[:, :whole]
                self._hops[:, :rest] = self._hops[:, whole : self._filled]
                self._filled = rest


RINGING = 4096
"""Frames at the lower rate, for which no filter of a conversion rings, before and after a sound."""


class Pipeline:
    """Separates a mixture in blocks of any size at any sample rate into blocks of the stems.

    The output does not depend on the block sizes. Not thread-safe: one thread owns it.

    Parameters
    ----------
    separator : Separator
    samplerate : int
    begins_late : bool
        Leave out most of the silence that comes out before the stems, as files can.

    Attributes
    ----------
    samplerate : int
        Frames per second on both sides.
    latency : int
        Frames by which the output is later than the input: frame ``n`` of the mixture is frame
        ``n + latency`` of the stems.
    held : int
        The largest number of frames that are inside the pipeline at one time. To play the stems
        while the mixture comes in, begin with that much silence.
    """

    def __init__(self, separator: Separator, samplerate: int, begins_late: bool = False) -> None:
        self.samplerate = samplerate
        hop_length = separator.scheme.grid.hop_length
        lead = _whole_frames_lead(separator.latency, samplerate, hop_length)
        self._left_out = _whole_cycles(separator.latency, samplerate) if begins_late else 0
        delay = separator.latency + lead - self._left_out
        self.latency = round(delay * samplerate / SAMPLERATE)
        self.held = ceil((hop_length - lead) * samplerate / SAMPLERATE)
        self.separator = separator
        # The lead comes out of the time that the first hop takes to fill, so it costs no delay.
        self._framer = HopFramer(CHANNELS, hop_length, lead)
        self._outputs = separator.stems * CHANNELS
        self._stems = np.empty(self._outputs * MAX_HOPS * hop_length, np.float32)
        self._down: RateConverter | None = None
        self._up: RateConverter | None = None
        if samplerate != SAMPLERATE:
            self._down = RateConverter(samplerate, SAMPLERATE, CHANNELS)
            self._up = RateConverter(SAMPLERATE, samplerate, self._outputs)
            self.held += ceil(self._down.held * samplerate / SAMPLERATE) + self._up.held

    def process(self, block: Waveform) -> Iterator[Waveform]:
        """Separate a block of the mixture; yield blocks of the stems when they are ready.

        Parameters
        ----------
        block : float32 [shape=(CHANNELS, frames)]

        Yields
        ------
        float32 [shape=(stems * CHANNELS, frames)]
            Its memory is used again for the next one.
        """
        if self._down:
            block = self._down.process(block)
        for hops in self._framer.push(block):
            stems = self.separator.process(hops, out=self._block(hops.shape[1]))
            if self._left_out:
                stems = self._leave_out(stems)
            yield self._up.process(stems) if self._up else stems

    def drain(self) -> Iterator[Waveform]:
        """Yield the stems as if silence came in, without end; `process` may not follow."""
        ringing = ceil(RINGING * max(self.samplerate / SAMPLERATE, 1))
        yield from self.process(np.zeros((CHANNELS, ringing), np.float32))
        self._down = None  # what it gives from now on is silence, and takes time
        while True:
            yield from self.process(np.zeros((CHANNELS, RINGING), np.float32))

    def _leave_out(self, stems: Waveform) -> Waveform:
        left_out = min(self._left_out, stems.shape[1])
        self._left_out -= left_out
        return stems[:, left_out:]

    def _block(self, frames: int) -> Waveform:
        """Return contiguous memory, as the rings need it [shape=(stems * CHANNELS, frames)]."""
        return self._stems[: self._outputs * frames].reshape(self._outputs, frames)


def _whole_frames_lead(latency: int, samplerate: int, hop_length: int) -> int:
    """Return the frames of silence to begin with, for a latency of whole frames at both rates.

    Otherwise the stems fall between the frames of the mixture, and do not add up to it at the top
    of the spectrum. For unusual rates, return the nearest possible silence.
    """
    cycle = SAMPLERATE // gcd(SAMPLERATE, samplerate)

    def remainder(lead: int) -> float:
        frames = (latency + lead) * samplerate / SAMPLERATE
        return abs(frames - round(frames))

    return min(range(min(cycle, hop_length)), key=remainder)


def _whole_cycles(latency: int, samplerate: int) -> int:
    """Return how many frames of silence can be left out before a conversion, with equal results."""
    cycle = SAMPLERATE // gcd(SAMPLERATE, samplerate)
    ringing = ceil(RINGING * max(SAMPLERATE / samplerate, 1))
    return max(0, latency - ringing) // cycle * cycle
