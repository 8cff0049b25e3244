"""One live separation: an engine, its workers, and its link to the server's thread."""

from dataclasses import dataclass, replace
from math import ceil
from time import monotonic

from stemd.daemon.engine.engine import Engine
from stemd.daemon.engine.link import RESERVE_S, Dry, Link, LinkCounters
from stemd.daemon.engine.networks import ByStem
from stemd.daemon.engine.realtime import RealtimeSide
from stemd.daemon.engine.scheduling import Priorities
from stemd.daemon.engine.workers import Probation, WorkerPool
from stemd.daemon.errors import StemdError
from stemd.daemon.ports import outputs_of
from stemd.dsp.mask_kinds import MaskExtension, MaskKind
from stemd.dsp.pipeline import Pipeline
from stemd.dsp.scheme import CHANNELS, SAMPLERATE, Scheme
from stemd.dsp.separator import BlockCounts, Separator

ENGINE_TIME_S = 0.010
"""Time the engine has for a hop, besides the period itself, before its output is due."""

MARGIN_S = 0.0015
"""How long before its output is due the engine stops waiting for networks, besides the time that
its own work needs: a server's cycles are not quite even."""

MARGIN = 2
"""This many times its usual own work is reserved for it: other programs may interrupt it."""

MAX_QUANTUM = 256
"""Frames that may wait for the engine, in several short periods, for to wake it takes more than its
work. There is time for that, as there is for a longest period."""

OVERLOADED_AFTER = 3
"""Late blocks in a row, besides those of one period, after which the dry signal is heard."""

RECOVERED_AFTER_S = 1.0
"""How long every block must then be in time before the stems are heard again."""


@dataclass(frozen=True)
class Report:
    """A snapshot of the separation's counters."""

    link: LinkCounters
    blocks: BlockCounts
    is_overloaded: bool
    load: dict[str, float]
    """Share of the time that each stem's network, and the ``engine``, was busy."""


class Separation:
    """Separates the input of its link.

    Parameters
    ----------
    networks : ByStem
    scheme : Scheme
    extension : MaskExtension
    rt : RealtimeSide
        What the link will be attached to; woken when the separation fails.
    samplerate : int
        The server's.
    longest_period : int
        Frames of the longest period for which there is to be time.
    masks : MaskKind
        What the networks give.

    Attributes
    ----------
    stems : tuple of str
    link : Link
    delay : int
        Frames from the input ports to the output ports, constant.
    is_overloaded : bool
        The networks do not keep up, and the dry signal is heard.
    failure : Exception or None
        The error that ended the separation before it was stopped.
    """

    def __init__(
        self,
        networks: ByStem,
        scheme: Scheme,
        extension: MaskExtension,
        rt: RealtimeSide,
        samplerate: int,
        longest_period: int,
        masks: MaskKind = "sigmoid",
    ) -> None:
        self.stems = tuple(networks)
        self.samplerate = samplerate
        self.longest_period = longest_period
        self.is_overloaded = False
        self.failure: Exception | None = None
        self._rt = rt
        self._is_stopped = False
        self._workers = WorkerPool(networks, self._patience)
        self._separator = Separator(
            scheme,
            len(networks),
            self._workers,
            extension,
            residual=self._workers.has_residual,
            masks=masks,
        )
        pipeline = Pipeline(self._separator, samplerate)
        prefill = pipeline.held + ring_prefill(longest_period, samplerate)
        self.delay = pipeline.latency + prefill
        slots = list(outputs_of(networks).values())
        quantum = min(MAX_QUANTUM, longest_period // 2)
        self.link = Link(CHANNELS, len(slots), prefill, self.delay, samplerate, slots, quantum)
        self._engine = Engine(self.link, pipeline, self._watch_load, self._fail)
        self._prefill, self._held = prefill, pipeline.held
        self._hop = scheme.grid.hop_length * samplerate / SAMPLERATE
        block_s = scheme.block_s
        # The blocks of one period fall due together: a single hitch makes them all late.
        at_once = int(longest_period / samplerate / block_s)
        self._overloaded_after = OVERLOADED_AFTER + at_once
        self._recovered_after = max(self._overloaded_after, ceil(RECOVERED_AFTER_S / block_s))
        self._probation = Probation((self._recovered_after + 2) * block_s)
        self._start()

    def _start(self) -> None:
        """Start all threads, or none.

        Raises
        ------
        StemdError
            The system permits no more threads.
        """
        try:
            self._workers.start()
            self._engine.start()
        except BaseException as error:
            self._workers.stop()
            if not isinstance(error, RuntimeError):
                raise
            raise StemdError(
                f"{error}: the system permits no more; end other programs, or raise TasksMax= of "
                "the unit or RLIMIT_NPROC"
            ) from None

    @property
    def delay_s(self) -> float:
        """The delay in seconds."""
        return self.delay / self.samplerate

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._is_stopped

    @property
    def are_networks_lowered(self) -> bool:
        """Whether their threads have no priority, for they do not keep up (any thread)."""
        return self._workers.is_overloaded

    @property
    def is_running(self) -> bool:
        """Whether any of its threads runs (any thread)."""
        return self._engine.is_running or self._workers.is_running

    @property
    def estimated(self) -> int:
        """Blocks that every network has done so far (any thread)."""
        return min(worker.blocks for worker in self._workers.workers)

    @property
    def holds_bounce(self) -> bool:
        """Whether the server freewheels, and its cycle waits for the engine (any thread)."""
        counters = self.link.counters()
        reserve = round(RESERVE_S * self.samplerate)
        return self._rt.freewheeling and counters.delivered < counters.frames + reserve

    def set_priorities(self, priorities: Priorities) -> None:
        """Set the threads' priorities (main thread)."""
        self._engine.set_priority(priorities.engine)
        self._workers.set_priority(priorities.workers)

    def bypass(self, on: bool) -> None:
        """Fade to the dry signal, or back to the stems (main thread)."""
        self.link.set_dry(Dry.BYPASS, on)

    def extend_masks(self, extension: MaskExtension) -> None:
        """Change the masks above the networks' last bin (any thread)."""
        self._separator.extend_masks(extension)

    def report(self) -> Report:
        """Return a snapshot of the counters (any thread)."""
        counters = self.link.counters()
        elapsed = max(counters.frames / self.samplerate, 1e-9)
        return Report(
            counters,
            replace(self._separator.blocks),
            self.is_overloaded,
            {thread: busy_s / elapsed for thread, busy_s in self.busy_s().items()},
        )

    def busy_s(self) -> dict[str, float]:
        """Return the seconds that each network, and the ``engine``, has been busy (any thread)."""
        busy = {worker.stem: worker.busy_s for worker in self._workers.workers}
        return {**busy, "engine": self._engine.busy_s}

    def stop(self) -> bool:
        """End the threads; False if one of them hangs and was left behind."""
        self._is_stopped = True
        stopped = self._engine.stop()
        return self._workers.stop() and stopped

    def _patience(self) -> float | None:
        """Return how many seconds the engine may wait for a block; None: for as long as it takes.

        The engine may wait for as long as the output in the ring lasts, but for what it has yet to
        do itself. Workers that were stopped bring nothing.
        """
        if self._rt.freewheeling and not self._is_stopped:
            return None
        counters = self.link.counters()
        until = counters.output_lasts_until(self.samplerate) - self._own_work_s(counters)
        return max(until - MARGIN_S - monotonic(), 0.0)

    def _own_work_s(self, counters: LinkCounters) -> float:
        """Return the seconds that the engine needs for what it has heard and not delivered."""
        heard = counters.frames + self._prefill - counters.delivered
        hops = max(ceil((heard - self._held) / self._hop), 1)
        hop_s = self._engine.busy_s / max(self._engine.processed / self._hop, 1)
        return MARGIN * hops * hop_s

    def _fail(self, error: Exception) -> None:
        self.failure = error
        self._rt.wake()

    def _watch_load(self) -> None:
        """Decide whether the networks keep up (engine thread)."""
        blocks = self._separator.blocks
        if not self.is_overloaded and blocks.late_in_a_row >= self._overloaded_after:
            self._set_overloaded(True)
        elif self.is_overloaded and blocks.in_time_in_a_row >= self._recovered_after:
            self._set_overloaded(False)
        if self.is_overloaded:
            self._workers.set_overloaded(not self._probation.is_trial(monotonic()))

    def _set_overloaded(self, on: bool) -> None:
        self._probation.begin(monotonic())
        self._workers.set_overloaded(False)
        self.is_overloaded = on
        self.link.set_dry(Dry.OVERLOAD, on)


def ring_prefill(longest_period: int, samplerate: int) -> int:
    """Return the frames of silence that give the engine its time.

    What a period hears is fetched when the next one plays, hence a period; the rest is the
    engine's.
    """
    return longest_period + ceil(ENGINE_TIME_S * samplerate)
