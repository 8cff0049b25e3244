"""The compiled callbacks that an audio server calls for one client; none of them runs Python."""

from collections.abc import Sequence
from dataclasses import dataclass

from stemd.daemon.engine._rt import ffi, lib
from stemd.daemon.engine.link import Link
from stemd.daemon.engine.tape import Tape
from stemd.daemon.errors import StemdError

RAMP_S = 0.020
"""Time in which a gain changes."""


@dataclass(frozen=True)
class Server:
    """Addresses of libjack's functions, of the client, and of its input ports."""

    port_get_buffer: int
    port_get_latency_range: int
    port_set_latency_range: int
    last_frame_time: int
    get_time: int
    client: int
    defers_latency: bool
    """Whether latency must be set on the control thread, not in the server's callback."""
    in_ports: Sequence[int]


class ServerCallbacks:
    """The compiled callbacks of one client, with the ports that they read and write.

    Parameters
    ----------
    inputs, outputs : int
        Numbers of ports.
    samplerate : int
        Frames per second.
    ramp_s : float
        Seconds in which a gain changes.

    Attributes
    ----------
    pointer : cdata
        The state in C.
    argument : int
        The argument that the server must pass to the callbacks.
    links : list of Link
        Those that the callbacks may play, so that they stay in memory.
    tape : Tape or None
        The one that the callbacks fill.
    left_tapes : list of Tape
        Earlier ones that they may still fill.
    """

    def __init__(self, inputs: int, outputs: int, samplerate: int, ramp_s: float = RAMP_S) -> None:
        rt = lib.rt_new(inputs, outputs, samplerate, round(ramp_s * samplerate))
        if rt == ffi.NULL:
            raise StemdError(f"no memory for {inputs} + {outputs} ports")
        self.pointer = ffi.gc(rt, lib.rt_free)
        self.links: list[Link] = []
        self.tape: Tape | None = None
        self.left_tapes: list[Tape] = []
        self.inputs = inputs
        self.outputs = outputs
        self.argument = int(ffi.cast("uintptr_t", self.pointer))

    def callback(self, which: str) -> int:
        """Return the address of a callback, named as the last part of RT_ON_PROCESS and so on."""
        return int(lib.rt_callback(getattr(lib, f"RT_ON_{which.upper()}")))

    def bind(self, server: Server) -> None:
        """Set the server's functions and ports, before its thread runs.

        From now on the server may call, so this object and its links stay in memory until `detach`.
        """
        _called.add(self)
        lib.rt_bind(self.pointer, ffi.new("rt_server_t *", vars(server)))

    def set_out_port(self, output: int, port: int) -> None:
        """Play an output through the port of this address, 0: through none (any thread).

        The current cycle may still use the previous port: see `let_cycle_end`.
        """
        lib.rt_set_out_port(self.pointer, output, port)

    def let_cycle_end(self) -> bool:
        """Wait until the server's current cycle, if any, has ended (any thread).

        Returns
        -------
        bool
            False if it continues after half a second, as a cycle of an offline bounce may.
        """
        return bool(lib.rt_let_cycle_end(self.pointer))

    def bind_midi(self, port: int, get_event_count: int, event_get: int) -> None:
        """Set a MIDI port to read, before the server's thread runs.

        Parameters
        ----------
        port, get_event_count, event_get : int
            Addresses of the port and of libjack's functions.
        """
        lib.rt_bind_midi(self.pointer, port, get_event_count, event_get)

    def bind_midi_out(self, port: int, clear_buffer: int, event_write: int) -> None:
        """Set a MIDI port to send through, before the server's thread runs.

        Parameters
        ----------
        port, clear_buffer, event_write : int
            Addresses of the port and of libjack's functions.
        """
        lib.rt_bind_midi_out(self.pointer, port, clear_buffer, event_write)

    def read_ports(self) -> list[tuple[float, tuple[int, ...], bool]] | None:
        """Return what the server reported of ports since the last call, in order (one thread).

        Each with its time [seconds of the monotonic clock], the number of a port that appeared
        (True) or vanished, or of two that were connected or disconnected. None: some were lost.
        """
        notice = ffi.new("rt_port_notice_t *")
        notices: list[tuple[float, tuple[int, ...], bool]] = []
        while (found := lib.rt_read_port(self.pointer, notice)) > 0:
            is_pair = notice.other != lib.RT_NO_PORT
            ports = (notice.port, notice.other) if is_pair else (notice.port,)
            notices.append((notice.time_ns / 1e9, ports, bool(notice.is_there)))
        return None if found < 0 else notices

    def detach(self) -> None:
        """Release the links and forget the server; its threads must not run any more."""
        lib.rt_detach(self.pointer)
        self.links.clear()
        _called.discard(self)


_called: set[ServerCallbacks] = set()
"""Those that a server may call; for ever where a client cannot be closed."""
