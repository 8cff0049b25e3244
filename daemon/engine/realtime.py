"""The real-time side of a client as Python sees it: links, gains, meters, counters and events."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import Flag

from stemd.daemon.engine._rt import ffi, lib
from stemd.daemon.engine.callbacks import RAMP_S, ServerCallbacks
from stemd.daemon.engine.link import Link
from stemd.daemon.engine.tape import Tape


class Event(Flag):
    """Events that the server's threads report."""

    SHUTDOWN = lib.RT_SHUTDOWN
    """The server ended."""
    RATE = lib.RT_RATE
    """The sample rate may have changed."""
    PERIOD = lib.RT_PERIOD
    """The period has changed."""
    PORTS = lib.RT_PORTS
    """Ports appeared, vanished, were connected or disconnected."""
    SWAPPED = lib.RT_SWAPPED
    """The link that was attached last plays now; the previous one is released."""
    LATENCY = lib.RT_LATENCY
    """The server requests the latency: see `RealtimeSide.answer_latency`."""
    MIDI = lib.RT_MIDI
    """`RealtimeSide.read_midi` has messages."""
    WITHDRAWN = lib.RT_WITHDRAWN
    """The link that was about to play has been withdrawn, and is released."""


@dataclass(frozen=True)
class Counters:
    """Counters of the server's thread since the client was made."""

    periods: int
    """Cycles of the server."""
    frames: int
    """Frames of those cycles."""
    xruns: int
    """Drop-outs of the graph: each is counted once, whether the server reports it, or its clock
    jumps over cycles that were lost, or both."""
    reported: int
    """Those that the server reported; PipeWire reports none to its clients. The tests of endurance
    compare this with ``jumps``."""
    jumps: int
    """Those in which the server's clock jumped over time that had passed."""
    bad_samples: int
    """Input samples that were not finite, or absurdly large; replaced by silence."""
    bad_outputs: int
    """Output samples that were not finite, or absurdly large; replaced by silence."""
    worst_ns: int
    """Nanoseconds of the longest cycle."""
    period: int
    """Frames of the last cycle."""
    priority: int
    """Priority of the server's thread; 0 where it has no real-time scheduling."""


class RealtimeSide:
    """The real-time side of one client: which links it plays, at which gains, and what it counts.

    Parameters
    ----------
    inputs, outputs, samplerate, ramp_s
        See `ServerCallbacks`.

    Attributes
    ----------
    callbacks : ServerCallbacks
        What the server calls.
    """

    def __init__(self, inputs: int, outputs: int, samplerate: int, ramp_s: float = RAMP_S) -> None:
        self.callbacks = ServerCallbacks(inputs, outputs, samplerate, ramp_s)
        self._rt = self.callbacks.pointer

    def attach(self, link: Link) -> bool:
        """Attach a new link, which takes over once it is warm (one thread).

        Returns
        -------
        bool
            False while another one still comes, or if this one has come already.

        Raises
        ------
        ValueError
            It has channels that the client has not.
        """
        inputs, outputs = self.callbacks.inputs, self.callbacks.outputs
        if link.inputs > inputs or any(slot >= outputs for slot in link.slots):
            raise ValueError(
                f"a link of {link.inputs} inputs and outputs {link.slots} for a client of "
                f"{inputs} inputs and {outputs} outputs"
            )
        self.callbacks.links.append(link)  # before the server's thread has it
        is_attached = bool(lib.rt_attach(self._rt, link.pointer))
        if not is_attached:
            self.callbacks.links.pop()
        return is_attached

    def withdraw(self, link: Link) -> bool:
        """Withdraw a link that is coming (any thread).

        What of it is heard already fades back to the link that plays; `Event.WITHDRAWN` says that
        it is let go, from when on another one can be attached.

        Returns
        -------
        bool
            False if the link plays already or was never attached; then nothing has changed.
        """
        return bool(lib.rt_withdraw(self._rt, link.pointer))

    def tape(self, tape: Tape | None) -> None:
        """Fill a tape from the next cycle on; None: none (one thread).

        After this, the last one gets nothing more.
        """
        before, self.callbacks.tape = self.callbacks.tape, tape
        lib.rt_set_tape(self._rt, tape.pointer if tape else ffi.NULL)
        if before and not self.callbacks.let_cycle_end():
            self.callbacks.left_tapes.append(before)  # a bounce may use it for as long as it likes

    def set_gain(self, output: int, gain: float) -> None:
        """Ramp an output's gain (any thread)."""
        lib.rt_set_gain(self._rt, output, gain)

    def peaks(self) -> tuple[list[float], list[float]]:
        """Return each input's and output's highest level since the last call."""
        return (
            [lib.rt_in_peak(self._rt, port) for port in range(self.callbacks.inputs)],
            [lib.rt_out_peak(self._rt, port) for port in range(self.callbacks.outputs)],
        )

    def counters(self) -> Counters:
        """Return a snapshot of the counters (any thread)."""
        out = ffi.new("rt_counters_t *")
        lib.rt_counters(self._rt, out)
        return Counters(*(getattr(out, field.name) for field in fields(Counters)))

    @property
    def freewheeling(self) -> bool:
        """Whether the server is bouncing offline, faster than real time (any thread)."""
        return bool(lib.rt_is_freewheeling(self._rt))

    @property
    def delay(self) -> int:
        """Frames of the link that plays, or, before any does, of the one that is to."""
        return int(lib.rt_delay(self._rt))

    def wait_events(self, timeout_s: float) -> Event:
        """Wait for events or `wake`; return the events (one thread)."""
        events = Event(lib.rt_wait_events(self._rt, int(timeout_s * 1000)))
        if events & (Event.SWAPPED | Event.WITHDRAWN):
            links = self.callbacks.links
            links[:] = [link for link in links if lib.rt_holds(self._rt, link.pointer)]
        return events

    def wake(self) -> None:
        """Let `wait_events` return (any thread)."""
        lib.rt_wake(self._rt)

    def read_midi(self) -> Iterator[bytes]:
        """Yield the MIDI messages that arrived, of three bytes each, in order (one thread)."""
        message = ffi.new("uint8_t[3]")
        while lib.rt_read_midi(self._rt, message):
            yield bytes(ffi.buffer(message))

    def send_midi(self, message: bytes) -> bool:
        """Send a MIDI message of three bytes in the next cycle (one thread).

        Returns
        -------
        bool
            False if too many wait already.
        """
        return bool(lib.rt_send_midi(self._rt, message))

    def answer_latency(self) -> None:
        """Set the ports' latencies, after `Event.LATENCY` (one thread)."""
        lib.rt_answer_latency(self._rt)
