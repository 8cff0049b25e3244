"""Puts the parts of a live separation together, starts and stops them in order."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from math import ceil

from stemd.daemon.engine import Engine
from stemd.daemon.graph import GraphClient
from stemd.daemon.realtime import Counters, RealtimeSide
from stemd.daemon.workers import WorkerPool
from stemd.dsp.banks import Network
from stemd.dsp.masks import MaskExtension
from stemd.dsp.pipeline import Pipeline
from stemd.dsp.scheme import Scheme
from stemd.dsp.separator import BlockCounts, Separator

INPUTS = ("in_L", "in_R")

ENGINE_TIME_S = 0.010
"""Time the engine has for a hop, besides the period itself, before its output is due."""

PATIENCE_S = 0.004
"""How much of that it may spend on waiting for networks that are just not done."""


@dataclass(frozen=True)
class Report:
    """How the separation is doing."""

    counters: Counters
    blocks: BlockCounts
    network_load: dict[str, float]
    """Share of the time that each stem's network was busy."""

    engine_load: float
    """Share of the time that the engine was busy."""


@dataclass(frozen=True)
class Separation:
    """A live separation that runs.

    Attributes
    ----------
    delay : int
        Frames from the input ports to the output ports, constant.
    """

    delay: int
    samplerate: int
    _rt: RealtimeSide
    _separator: Separator
    _workers: WorkerPool
    _engine: Engine

    @property
    def delay_s(self) -> float:
        """The delay in seconds."""
        return self.delay / self.samplerate

    def report(self) -> Report:
        """Take a snapshot (any thread)."""
        counters = self._rt.counters()
        elapsed = max(counters.frames / self.samplerate, 1e-9)
        return Report(
            counters,
            replace(self._separator.blocks),
            {worker.stem: worker.busy_s / elapsed for worker in self._workers.workers},
            self._engine.busy_s / elapsed,
        )


@contextmanager
def separating(
    client: GraphClient,
    networks: Mapping[str, Network],
    scheme: Scheme,
    extension: MaskExtension,
    on_trouble: Callable[[str], None],
) -> Iterator[Separation]:
    """Separate between the client's ports as long as the context lasts.

    Parameters
    ----------
    client : GraphClient
        Open, without ports; closed at the end.
    networks : mapping of stem to network
        In the order of the ports.
    scheme : Scheme
    extension : MaskExtension
    on_trouble : callable
        Told once, on any thread, why the separation cannot go on.
    """
    outputs = [f"{stem}_{side}" for stem in networks for side in "LR"]
    prefill = ring_prefill(client.blocksize, client.samplerate)
    with ExitStack() as stack:
        stack.callback(client.close)
        workers = WorkerPool(networks, lambda: None if rt.freewheeling else PATIENCE_S)
        stack.callback(workers.stop)
        separator = Separator(scheme, len(networks), workers, extension)
        pipeline = Pipeline(separator, client.samplerate)
        rt = RealtimeSide(len(INPUTS), len(outputs), pipeline.held + prefill, client.samplerate)
        engine = Engine(
            rt, pipeline, on_failure=lambda error: on_trouble(f"the engine stopped: {error}")
        )
        engine.start()
        stack.callback(engine.stop)
        client.bind(rt, INPUTS, outputs)
        client.activate(on_shutdown=lambda reason: on_trouble(f"the server went away: {reason}"))
        delay = pipeline.latency + pipeline.held + prefill
        yield Separation(delay, client.samplerate, rt, separator, workers, engine)


def ring_prefill(blocksize: int, samplerate: int) -> int:
    """Return the frames of silence, whole periods, that give the engine its time.

    A period is played when the next one is heard, hence one period; the others are the engine's.
    """
    return blocksize * (1 + ceil(ENGINE_TIME_S * samplerate / blocksize))
