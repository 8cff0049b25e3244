"""The tape: what a client hears and plays, in the same frames, on its way to a recording."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stemd.daemon.engine._rt import ffi, lib
from stemd.daemon.errors import StemdError

TAPE_S = 8.0
"""How long a recording may stop, as for a busy disk, before frames are lost."""


class Tape:
    """A ring that the server's thread fills, see `RealtimeSide.tape`.

    Parameters
    ----------
    inputs : int
        How many of the client's inputs are taped, from the first one on.
    slots : sequence of int
        Which of its outputs are taped.
    samplerate : int
        Frames per second.
    before_gains : bool
        Whether the outputs are taped without the gains.

    Attributes
    ----------
    channels : int
        The inputs, then the outputs.

    Raises
    ------
    StemdError
        There is no memory.
    """

    def __init__(
        self, inputs: int, slots: Sequence[int], samplerate: int, before_gains: bool = False
    ) -> None:
        capacity = 1 << int(samplerate * TAPE_S).bit_length()
        tape = lib.rt_tape_new(inputs, len(slots), bytes(slots), capacity, before_gains)
        self.channels = inputs + len(slots)
        if tape == ffi.NULL:
            raise StemdError(f"no memory to record {self.channels} channels")
        self.pointer = ffi.gc(tape, lib.rt_tape_free)

    def read(self, out: NDArray[np.float32]) -> int:
        """Fetch frames into ``out`` [shape=(channels, frames)]; return how many (one thread).

        Lost ones are silence.
        """
        if out.dtype != np.float32 or out.ndim != 2 or len(out) != self.channels:
            raise ValueError(f"{out.dtype} {out.shape} is not float32 ({self.channels}, frames)")
        samples, frames = ffi.from_buffer("float[]", out), out.shape[1]
        return int(lib.rt_tape_read(self.pointer, samples, frames, frames))

    @property
    def lost_frames(self) -> int:
        """Frames that were overwritten before they were read (any thread)."""
        return int(lib.rt_tape_lost(self.pointer))
