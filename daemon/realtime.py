"""The real-time side as Python sees it: rings and counters of the compiled process callback."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemd.daemon._rt import ffi, lib
from stemd.daemon.errors import StemdError

RING_SECONDS = 1.0
"""How long the engine may stand still before input is lost."""


@dataclass(frozen=True)
class Counters:
    """What the real-time side counted since it was made."""

    periods: int
    """Cycles of the server."""

    frames: int
    """Frames of those cycles."""

    late_periods: int
    """Cycles in which the engine's output was missing, in whole or in part."""

    late_frames: int
    """Frames of silence played where it was missing."""

    lost_frames: int
    """Frames of input that the engine did not fetch in time; it gets silence instead."""


class RealtimeSide:
    """The two rings between the server's real-time thread and the engine thread.

    The server calls ``process`` with ``argument``; both are addresses of C. No Python runs there.

    Parameters
    ----------
    inputs, outputs : int
        Numbers of channels.
    prefill : int
        Frames of silence that the output begins with, which is the time that the engine has.
    samplerate : int
        Frames per second, for the size of the rings.
    """

    def __init__(self, inputs: int, outputs: int, prefill: int, samplerate: int) -> None:
        frames = int(samplerate * RING_SECONDS) + lib.RT_MAX_CHUNK
        self._rt = lib.rt_new(
            inputs, outputs, _power_of_two(frames), _power_of_two(frames + prefill), prefill
        )
        if self._rt == ffi.NULL:
            raise StemdError(f"no memory for rings of {inputs} + {outputs} channels")
        self._rt = ffi.gc(self._rt, lib.rt_free)
        self.inputs = inputs
        self.outputs = outputs
        self.process = lib.rt_process_address()
        self.freewheel = lib.rt_freewheel_address()
        self.argument = _address(self._rt)

    def bind(self, port_get_buffer: int, in_ports: list[int], out_ports: list[int]) -> None:
        """Give the addresses of libjack's ``jack_port_get_buffer`` and of the ports.

        Called before the server's thread runs.
        """
        lib.rt_bind(self._rt, port_get_buffer, in_ports, out_ports)

    def wait(self, timeout_s: float) -> None:
        """Wait until a cycle has passed (engine thread)."""
        lib.rt_wait(self._rt, int(timeout_s * 1000))

    def read(self, out: NDArray[np.float32]) -> int:
        """Fetch input into ``out`` [shape=(inputs, frames)]; return how many frames (engine)."""
        return int(lib.rt_read(self._rt, _samples(out), out.shape[1], out.shape[1]))

    def write(self, block: NDArray[np.float32]) -> None:
        """Append output ``block`` [shape=(outputs, frames)] (engine thread)."""
        block = np.ascontiguousarray(block)
        lib.rt_write(self._rt, _samples(block), block.shape[1], block.shape[1])

    def counters(self) -> Counters:
        """Return a snapshot of the counters (any thread)."""
        out = ffi.new("rt_counters_t *")
        lib.rt_counters(self._rt, out)
        return Counters(out.periods, out.frames, out.late_periods, out.late_frames, out.lost_frames)

    @property
    def freewheeling(self) -> bool:
        """Whether the server is bouncing offline, faster than real time (any thread)."""
        return bool(lib.rt_is_freewheeling(self._rt))

    def release(self) -> None:
        """Let a freewheeling cycle that waits for the engine go on without it (any thread)."""
        lib.rt_release(self._rt)


def _power_of_two(at_least: int) -> int:
    return 1 << max(at_least - 1, 1).bit_length()


def _address(pointer: object) -> int:
    return int(ffi.cast("uintptr_t", pointer))


def _samples(array: NDArray[np.float32]) -> object:
    return ffi.from_buffer("float[]", array)
