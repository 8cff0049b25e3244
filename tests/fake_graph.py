"""An audio graph without a server: the test's own thread calls the compiled process callback."""

from collections.abc import Callable

import numpy as np

from stemd.daemon._rt import ffi, lib

MAX_PERIOD = 40_000


@ffi.callback("uintptr_t(uintptr_t, uint32_t)")
def _port_get_buffer(port, nframes):
    """A fake port's address is that of its buffer."""
    return port


class FakeGraph:
    """A `GraphClient` whose cycles happen when `cycle` is called."""

    name = "stemd"
    server = "fake"

    def __init__(self, samplerate: int = 44_100, blocksize: int = 256) -> None:
        self.samplerate = samplerate
        self.blocksize = blocksize
        self.closed = False
        self.ports: list[str] = []
        self.on_shutdown: Callable[[str], None] | None = None

    def bind(self, rt, inputs, outputs) -> None:
        self.ports = [*inputs, *outputs]
        self._rt = rt
        self._in = np.zeros((len(inputs), MAX_PERIOD), np.float32)
        self._out = np.zeros((len(outputs), MAX_PERIOD), np.float32)
        get_buffer = int(ffi.cast("uintptr_t", _port_get_buffer))
        rt.bind(get_buffer, *([row.ctypes.data for row in rows] for rows in (self._in, self._out)))

    def activate(self, on_shutdown) -> None:
        self.on_shutdown = on_shutdown

    def autoconnect(self, patterns) -> None:
        self.patterns = patterns

    def close(self) -> None:
        self.closed = True

    def freewheel(self, on: bool) -> None:
        lib.rt_freewheel(int(on), self._argument)

    def cycle(self, block: np.ndarray) -> np.ndarray:
        """One cycle: the block goes in; what the outputs then hold comes out."""
        nframes = block.shape[1]
        self._in[:, :nframes] = block
        self._out[:] = np.nan  # a missed write shows
        assert lib.rt_process(nframes, self._argument) == 0
        assert np.isnan(self._out[:, nframes:]).all(), "written beyond the period"
        return self._out[:, :nframes].copy()

    @property
    def _argument(self):
        return ffi.cast("void *", self._rt.argument)
