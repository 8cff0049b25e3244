"""An audio graph without a server: the test's own thread calls the compiled callbacks."""

from collections import Counter

import numpy as np

from stemd.daemon.engine import callbacks
from stemd.daemon.engine._rt import ffi
from stemd.daemon.engine.callbacks import Server, ServerCallbacks

MAX_PERIOD = 40_000

BEYOND = 1024
"""Frames after the period in which what is written there is seen; it would begin at the first."""

CAPTURE, PLAYBACK = 0, 1


class FakeGraph:
    """A `GraphClient` whose cycles happen when `cycle` is called, in a `Graph` without others."""

    name = "stemd"
    kind = "jack"
    server = "fake"
    reports_activity = True
    loopbacks_stall = False

    defers_latency = False

    def __init__(self, samplerate: int = 44_100, period: int = 256) -> None:
        self.samplerate = samplerate
        self.period = period
        self.closed = False
        self.alive = True
        self.ports: list[str] = []
        self._slots: dict[str, int] = {}
        self._unbind = lambda: None
        self.midi: list[bytes] = []
        """Messages that the next cycle has."""
        self.midi_out: list[bytes] = []
        """Messages that the last cycle sent,"""
        self.midi_room = 9
        """and how many the port takes."""
        self.frame_time = 0
        self.time_us = 0.0
        """Of the monotonic clock, which goes on with the cycles."""
        self.without_buffer: set[str] = set()
        """Ports for which the server has none."""
        self.asked: Counter[int] = Counter()
        """How often each port's buffer was asked for in the last cycle."""
        self.latencies: dict[tuple[int, int], tuple[int, int]] = {}
        self._callbacks = [
            ffi.callback("uintptr_t(uintptr_t, uint32_t)", self._get_buffer),
            ffi.callback("void(uintptr_t, int, uint32_t *)", self._get_latency),
            ffi.callback("void(uintptr_t, int, uint32_t *)", self._set_latency),
            ffi.callback("uint32_t(uintptr_t)", lambda _: self.frame_time % 2**32),
            ffi.callback("uint64_t(void)", lambda: round(self.time_us)),
        ]

    def __del__(self) -> None:
        callbacks._called.discard(getattr(self, "_bound", None))  # nothing calls it any more

    def bind(self, callbacks: ServerCallbacks, inputs, outputs) -> None:
        self.ports = list(inputs)
        self._bound, self._unbind = callbacks, callbacks.detach
        # A fake port's address is that of its buffer.
        self._in = np.zeros((len(inputs), MAX_PERIOD), np.float32)
        self._out = np.zeros((callbacks.outputs + callbacks.inputs, MAX_PERIOD), np.float32)
        functions = (int(ffi.cast("uintptr_t", callback)) for callback in self._callbacks)
        addresses = [row.ctypes.data for row in self._in]
        callbacks.bind(Server(*functions, 0, self.defers_latency, addresses))
        self.add_outputs({name: slot for slot, name in enumerate(outputs)})

    def add_outputs(self, slots) -> None:
        for name, slot in slots.items():
            self.ports.append(name)
            self._slots[name] = slot
            self._bound.set_out_port(slot, self._out[slot].ctypes.data)

    def add_midi(self, name) -> None:
        self.ports.append(name)
        self._midi_buffer = ffi.new("char[1]")
        self._midi_callbacks = [
            ffi.callback("uint32_t(uintptr_t)", lambda _: len(self.midi)),
            ffi.callback("int(uintptr_t *, uintptr_t, uint32_t)", self._get_midi),
        ]
        addresses = [self._midi_buffer, *self._midi_callbacks]
        self._bound.bind_midi(*(int(ffi.cast("uintptr_t", each)) for each in addresses))

    def add_midi_out(self, name) -> None:
        self.ports.append(name)
        self._midi_out_callbacks = [
            ffi.callback("void(uintptr_t)", lambda _: self.midi_out.clear()),
            ffi.callback("int(uintptr_t, uint32_t, uint8_t *, size_t)", self._write_midi),
        ]
        self._midi_out_buffer = ffi.new("char[1]")
        addresses = [self._midi_out_buffer, *self._midi_out_callbacks]
        self._bound.bind_midi_out(*(int(ffi.cast("uintptr_t", each)) for each in addresses))

    def _write_midi(self, _, __, data, size) -> int:
        if len(self.midi_out) >= self.midi_room:
            return -1
        self.midi_out.append(bytes(ffi.buffer(data, size)))
        return 0

    def _get_midi(self, event, _, index) -> int:
        """Fill in a jack_midi_event_t: time, size, data."""
        self._message = ffi.new("uint8_t[]", self.midi[index])
        event[0], event[1] = 0, len(self.midi[index])
        event[2] = int(ffi.cast("uintptr_t", self._message))
        return 0

    def remove_outputs(self, slots) -> bool:
        for name, slot in slots.items():
            self._bound.set_out_port(slot, 0)
            self.ports.remove(name)
            del self._slots[name]
        return True

    @property
    def graph(self) -> "FakeGraph":
        return self

    def activate(self) -> None:
        pass

    def declare_latency(self) -> None:
        for mode in (CAPTURE, PLAYBACK):
            self.call("latency", "void(*)(int, void *)", mode)

    def describe(self) -> None:
        pass

    @property
    def own_ports(self) -> set[str]:
        return {f"{self.name}:{port}" for port in self.ports}

    def port_names(self):
        return sorted(self.own_ports)

    def port_notices(self):
        return []

    def find_port(self, name):
        return None

    def connections(self):
        return set()

    def was_inactive(self, program, since):
        raise AssertionError("nothing is connected")

    def all_connections(self):
        return set()

    def destinations(self, port):
        return []

    def connect(self, connection):
        return False

    def disconnect(self, connection):
        pass

    def is_alive(self) -> bool:
        return self.alive

    def close(self, process_ends: bool = False) -> None:
        self.closed = True
        self._unbind()

    def has_server_again(self) -> bool:
        return False

    def call(self, callback: str, signature: str, *arguments):
        """Call one of the compiled callbacks, as a server does."""
        function = ffi.cast(signature, self._bound.callback(callback))
        return function(*arguments, ffi.cast("void *", self._bound.argument))

    def freewheel(self, on: bool) -> None:
        self.call("freewheel", "void(*)(int, void *)", int(on))

    def lose(self, frames: int) -> None:
        """Leave out cycles of so many frames, as a server does that is late."""
        self.frame_time += frames
        self.time_us += 1e6 * frames / self.samplerate

    def cycle(self, block: np.ndarray) -> np.ndarray:
        """One cycle: the block goes in; what the output ports then hold comes out."""
        nframes = block.shape[1]
        self._in[:, :nframes] = block
        watched = self._out[:, : nframes + BEYOND]  # to fill all of it takes longer than the cycle
        watched[:] = np.nan  # a missed write shows
        self.asked.clear()
        assert self.call("process", "int(*)(uint32_t, void *)", nframes) == 0
        self.frame_time += nframes
        self.time_us += 1e6 * nframes / self.samplerate
        self.midi = []
        assert np.isnan(watched[:, nframes:]).all(), "written beyond the period"
        return self._out[list(self._slots.values()), :nframes]

    def _get_buffer(self, port: int, _: int) -> int:
        self.asked[port] += 1
        if self.without_buffer:
            side, number = self._port(port)
            names = list(self._slots) if side else self.ports
            slots = self._slots if side else {name: n for n, name in enumerate(self.ports)}
            if any(slots[name] == number for name in names if name in self.without_buffer):
                return 0
        return port

    def _port(self, address: int) -> tuple[int, int]:
        for side, rows in enumerate((self._in, self._out)):
            for number, row in enumerate(rows):
                if row.ctypes.data == address:
                    return side, number
        raise AssertionError("a port that is none")

    def _get_latency(self, port: int, mode: int, found) -> None:
        found[0], found[1] = self.latencies.get((*self._port(port), mode), (0, 0))

    def _set_latency(self, port: int, mode: int, given) -> None:
        self.latencies[(*self._port(port), mode)] = given[0], given[1]
