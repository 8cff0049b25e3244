"""stemd, as `speed` has it work."""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.cost import Cost, cost_of
from stemd.daemon.engine.workers import WorkerPool
from stemd.daemon.files.separate import aligned, files_separator
from stemd.dsp.arrays import Waveform
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.pipeline import Pipeline
from stemd.dsp.scheme import CHANNELS, OFFLINE, SAMPLERATE
from stemd.tflite_models.graphs.spec import GraphSpec, StreamingPrecision
from stemd.tflite_models.network import Network
from stemd.tflite_models.store.sets import ModelSet

COMMAND = Path(sys.executable).with_name("stemd")
OPTIONS = ("--stems", "2", "--mask-extension", "zeros")
PRECISIONS: tuple[StreamingPrecision, ...] = get_args(StreamingPrecision)


class Stemd:
    """`stemd separate --offline` from memory to memory."""

    def __init__(self, networks: Mapping[str, Network], waveform: Waveform) -> None:
        self._networks = networks
        self._mixture = waveform
        shape = (len(networks), CHANNELS, waveform.shape[1])
        self.stems: NDArray[np.float32] = np.empty(shape, np.float32)

    def separate(self) -> None:
        """Fill `stems` [shape=(stems, CHANNELS, frames)]."""
        workers = WorkerPool(self._networks, patience=lambda: None)
        separator = files_separator(OFFLINE, len(self._networks), workers, MaskExtension.ZEROS)
        frames = self._mixture.shape[1]
        rows = self.stems.reshape(-1, frames)
        done = 0
        try:
            workers.start()
            for block in aligned([self._mixture], Pipeline(separator, SAMPLERATE)):
                rows[:, done : done + block.shape[1]] = block
                done += block.shape[1]
        finally:
            workers.stop()


def load(networks: ModelSet, spec: GraphSpec) -> dict[str, Network]:
    """Load every stem's network."""
    return {stem: Network(path) for stem, path in networks.graphs(spec).items()}


def whole(T: int, precision: StreamingPrecision) -> GraphSpec:
    """Return the spec that emits the whole window."""
    return GraphSpec(T=T, B=T, precision=precision)


def command(
    precision: StreamingPrecision, song: Path, folder: Path, environment: Mapping[str, str]
) -> Callable[[], Cost]:
    """Return what runs `stemd separate`, which writes to a folder named after the precision."""
    return partial(
        cost_of,
        [COMMAND, "separate", song, *OPTIONS, "--precision", precision, "-o", precision],
        {**environment, "XDG_CACHE_HOME": str(folder / "cache")},
        folder,
    )
