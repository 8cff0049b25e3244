"""The engine: the one thread that owns the signal processing."""

from collections.abc import Callable
from threading import Thread
from time import perf_counter

import numpy as np

from stemd.daemon.realtime import RealtimeSide
from stemd.dsp.pipeline import Pipeline

MAX_BLOCK = 4096
"""Frames fetched from the input ring at once."""

WAIT_S = 0.1
"""How soon the engine looks whether to stop while no server calls."""


class Engine:
    """Carries the mixture from the input ring through the pipeline to the output ring.

    Parameters
    ----------
    rt : RealtimeSide
    pipeline : Pipeline
        Owned by the engine's thread from `start` to `stop`.
    on_failure : callable
        Told the exception that ended the thread, on that thread.

    Attributes
    ----------
    busy_s : float
        Seconds spent on the signal processing so far.
    """

    def __init__(
        self, rt: RealtimeSide, pipeline: Pipeline, on_failure: Callable[[Exception], None]
    ) -> None:
        self.busy_s = 0.0
        self._rt = rt
        self._pipeline = pipeline
        self._on_failure = on_failure
        self._input = np.empty((rt.inputs, MAX_BLOCK), np.float32)
        self._stopping = False
        self._thread = Thread(target=self._run, name="stemd-engine", daemon=True)

    def start(self) -> None:
        """Begin to serve the rings."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for that."""
        self._stopping = True
        self._rt.release()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._rt.wait(WAIT_S)
                self._serve()
        except Exception as error:  # noqa: BLE001 - whatever it is, a dead engine must be told
            self._rt.release()
            self._on_failure(error)

    def _serve(self) -> None:
        """Process all the input there is."""
        while not self._stopping and (frames := self._rt.read(self._input)):
            started = perf_counter()
            for stems in self._pipeline.process(self._input[:, :frames]):
                self._rt.write(stems)
            self.busy_s += perf_counter() - started
