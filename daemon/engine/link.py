"""The link between the server's thread and one engine: rings of samples, and the dry signal."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import Flag

import numpy as np
from numpy.typing import NDArray

from stemd.daemon.engine._rt import ffi, lib
from stemd.daemon.errors import StemdError

RING_S = 1.0
"""How long an engine may stop before input is lost."""

MAX_PERIOD = 8192
"""Frames in the longest period that is played whole."""

FADE_S = 0.010
"""Duration of the cross-fade between stems and dry signal, and from one link to the next."""

RESERVE_S = 0.0025
"""How long before its output is due an engine counts as late; the time of the fade-out."""


class Dry(Flag):
    """Reasons for the dry signal. Each has one owner, so no thread clears another's."""

    BYPASS = lib.RT_DRY_BYPASS
    """The user bypasses the stems."""
    OVERLOAD = lib.RT_DRY_OVERLOAD
    """The networks do not keep up."""


@dataclass(frozen=True)
class LinkCounters:
    """Counters between one engine and the server since the link was made."""

    frames: int
    """Frames that were heard."""
    late_periods: int
    """Cycles in which the engine's output was missing, in whole or in part."""
    late_frames: int
    """Frames in which the engine's output was missing."""
    lost_frames: int
    """Frames of input that the engine did not fetch in time; it gets silence instead."""
    dry_frames: int
    """Frames in which the dry signal was heard."""
    delivered: int
    """Frames that the engine has written, including the silence at the start."""
    heard_ns: int
    """Nanoseconds of the monotonic clock when the last cycle was heard; 0 before the first."""
    period: int
    """Frames of the last cycle that was heard."""

    def output_lasts_until(self, samplerate: int) -> float:
        """Return when the server will find too little output, if its cycles go on as they do.

        Each cycle takes its frames at once, so the output lasts until the start of the first cycle
        that would leave less than the reserve.

        Returns
        -------
        float
            Seconds of the monotonic clock.
        """
        spare = self.delivered - self.frames - round(RESERVE_S * samplerate)
        cycles = 1 + max(spare, 0) // max(self.period, 1)
        return self.heard_ns / 1e9 + cycles * self.period / samplerate


class Link:
    """The pair of rings between the server's thread and one engine.

    The output begins with silence. When the engine is late, or when it is asked for, the stems fade
    to the *dry* signal, the input as late as the stems, heard on the last stem alone; and back.

    Parameters
    ----------
    inputs, outputs : int
        Numbers of channels.
    prefill : int
        Frames of silence that the output begins with, which is the time that the engine has.
    delay : int
        Frames from the input ports to the output ports.
    samplerate : int
        Frames per second.
    slots : sequence of int, optional
        Which of the client's outputs each of ours is; by default they are the same.
    quantum : int
        Frames that may wait for the engine before it is woken.

    Raises
    ------
    StemdError
        There is no memory, or there are more channels or frames of delay than rings can have.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        prefill: int,
        delay: int,
        samplerate: int,
        slots: Sequence[int] | None = None,
        quantum: int = 0,
    ) -> None:
        period = max(MAX_PERIOD, prefill)  # there is time for the longest one in the prefill
        sizes = {
            "in_capacity": _power_of_two(int(samplerate * RING_S) + period + delay),
            # The engine is never further ahead than by what it began with and the period it hears.
            "out_capacity": _power_of_two(2 * period + prefill),
            "prefill": prefill,
            "delay": delay,
            "fade": round(FADE_S * samplerate),
            "reserve": round(RESERVE_S * samplerate),
            "quantum": quantum,
        }
        self.slots = tuple(range(outputs) if slots is None else slots)
        if len(self.slots) != outputs:
            raise ValueError(f"{len(self.slots)} slots for {outputs} outputs")
        link = lib.rt_link_new(
            inputs, outputs, bytes(self.slots), ffi.new("rt_link_sizes_t *", sizes)
        )
        if link == ffi.NULL:
            raise StemdError(
                f"no rings of {inputs} + {outputs} channels and {delay} frames of delay: "
                f"the memory is full, or there are more than {lib.RT_MAX_CHANNELS} channels"
            )
        self.pointer = ffi.gc(link, lib.rt_link_free)
        self.inputs = inputs
        self.outputs = outputs
        self.delay = delay

    def wait(self, timeout_s: float) -> None:
        """Wait until there is enough to do (engine thread)."""
        lib.rt_link_wait(self.pointer, int(timeout_s * 1000))

    def read(self, out: NDArray[np.float32]) -> int:
        """Fetch input into ``out`` [shape=(inputs, frames)]; return how many frames (engine)."""
        samples, frames = _samples(out, self.inputs), out.shape[1]
        return int(lib.rt_link_read(self.pointer, samples, frames, frames))

    def write(self, block: NDArray[np.float32]) -> None:
        """Append output ``block`` [shape=(outputs, frames)] (engine thread).

        Raises
        ------
        StemdError
            The ring has no room for all of it: more was written than was read. Nothing that comes
            after it would be in its place, so the link is of no more use.
        """
        samples = _samples(block := np.ascontiguousarray(block), self.outputs)
        frames = block.shape[1]
        if lib.rt_link_write(self.pointer, samples, frames, frames) < frames:
            raise StemdError(f"{frames} frames are more than the output ring has room for")

    def set_dry(self, reason: Dry, on: bool) -> None:
        """Set or clear a reason for the dry signal (any thread, one for each reason).

        The link fades to the dry signal while there is any reason, and back to the stems when there
        is none.
        """
        lib.rt_link_set_dry(self.pointer, reason.value, on)

    def hold(self, on: bool) -> None:
        """Keep the link, while it comes, from being heard; or no longer (any thread)."""
        lib.rt_link_hold(self.pointer, on)

    def counters(self) -> LinkCounters:
        """Return a snapshot of the counters (any thread)."""
        out = ffi.new("rt_link_counters_t *")
        lib.rt_link_counters(self.pointer, out)
        return LinkCounters(*(getattr(out, field.name) for field in fields(LinkCounters)))

    def release(self) -> None:
        """Let a freewheeling cycle that waits for the engine go on without it (any thread)."""
        lib.rt_link_release(self.pointer)


def _power_of_two(at_least: int) -> int:
    return 1 << max(at_least - 1, 1).bit_length()


def _samples(array: NDArray[np.float32], channels: int) -> object:
    if array.dtype != np.float32 or array.ndim != 2 or len(array) != channels:
        raise ValueError(f"{array.dtype} {array.shape} is not float32 ({channels}, frames)")
    return ffi.from_buffer("float[]", array)
