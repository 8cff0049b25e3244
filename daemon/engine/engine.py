"""The engine: the one thread that owns the signal processing."""

from collections.abc import Callable
from time import thread_time

import numpy as np

from stemd.daemon.engine.link import Link
from stemd.daemon.engine.scheduling import NORMAL, STOP_S, Role, RoleThread, engine_rests
from stemd.dsp.pipeline import Pipeline

MAX_BLOCK = 4096
"""Frames fetched from the input ring at once."""

WAIT_S = 0.1
"""How soon the engine looks whether to stop while no server calls."""


class Engine:
    """Carries the mixture from the input ring through the pipeline to the output ring.

    Parameters
    ----------
    link : Link
    pipeline : Pipeline
        Owned by the engine's thread from `start` to `stop`.
    on_progress : callable
        Called on that thread whenever output was made.
    on_failure : callable
        Called on that thread with the exception that ended it.

    Attributes
    ----------
    busy_s : float
        Processor time spent on the signal processing so far, without waiting for networks.
    processed : int
        Frames that were processed so far.
    """

    def __init__(
        self,
        link: Link,
        pipeline: Pipeline,
        on_progress: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self.busy_s = 0.0
        self.processed = 0
        self._priority = NORMAL
        self._link = link
        self._pipeline = pipeline
        self._on_progress = on_progress
        self._on_failure = on_failure
        self._input = np.empty((link.inputs, MAX_BLOCK), np.float32)
        self._stopping = False
        self._thread = RoleThread(Role.ENGINE, self._run, "stemd-engine", lambda: self._priority)

    @property
    def is_running(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to serve the rings."""
        self._thread.start()

    def set_priority(self, priority: int) -> None:
        """Schedule the thread so (any thread)."""
        self._priority = priority
        self._thread.reschedule()

    def stop(self) -> bool:
        """End the thread; False if it hangs and was left behind."""
        self._stopping = True
        self._link.release()
        self._thread.join(STOP_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._link.wait(WAIT_S)
                if self._serve():
                    engine_rests()
        except Exception as error:  # noqa: BLE001 - any error ends the engine, and must be reported
            self._link.release()
            self._on_failure(error)

    def _serve(self) -> bool:
        """Process all the input there is; return whether that made output."""
        has_delivered = False
        while not self._stopping and (frames := self._link.read(self._input)):
            started = thread_time()
            for stems in self._pipeline.process(self._input[:, :frames]):
                self._link.write(stems)
                self._on_progress()
                has_delivered = True
            self.busy_s += thread_time() - started
            self.processed += frames
        return has_delivered
