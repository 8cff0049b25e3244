"""Chooses the set of networks for the configuration, and loads it."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Literal, TypeAlias

from stemd.daemon.work import Work
from stemd.dsp.banks import Network as NetworkCall
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.library import Library
from stemd.tflite_models.model_set import ModelSet
from stemd.tflite_models.network import Network
from stemd.tflite_models.spec import GraphSpec

log = logging.getLogger(__name__)

SETS: dict[Literal[2, 4], str] = {2: "2stems", 4: "4stems"}


ByStem: TypeAlias = Mapping[str, NetworkCall | None]
"""Each stem's network, in the order of the ports; None for the last where it is the remainder."""

Load: TypeAlias = Callable[[], ByStem]
"""Loads them, anew each time."""


class LoadedNetworks:
    """The networks in use, in the order of the ports.

    Nobody else keeps them from one use to the next, for they take most of the memory.

    Parameters
    ----------
    load : Load

    Attributes
    ----------
    stems : int
        How many there are.
    by_stem : ByStem
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self.by_stem = load()
        self.stems = len(self.by_stem)

    def load_anew(self) -> None:
        """Take others of the same kind instead.

        Raises
        ------
        ModelError
            If they are missing or damaged meanwhile.
        """
        self.by_stem = self._load()


def load_networks(work: Work) -> ByStem:
    """Load each stem's network, in the order of the ports.

    Raises
    ------
    ModelError
        If the networks are missing or damaged, or no runtime is installed.
    """
    chosen = find_networks(work.stems)
    log.info("networks: %s (%s)", chosen.name, chosen.origin)
    spec = GraphSpec(**asdict(work.scheme), precision=work.precision)
    graphs = chosen.graphs(spec)
    try:
        return _load(graphs, work)
    except ModelError:
        if all(path.exists() for path in graphs.values()):
            raise
    # Another process that derived others has forgotten these meanwhile.
    return _load(chosen.graphs(spec), work)


def find_networks(stems: Literal[2, 4]) -> ModelSet:
    """Find the set of networks in use.

    Raises
    ------
    ModelError
        If it is not installed, or damaged.
    """
    return Library().find(SETS[stems])


def _load(graphs: Mapping[str, Path], work: Work) -> ByStem:
    last = list(graphs)[-1]
    return {
        stem: None if work.remainder and stem == last else Network(path, work.threads)
        for stem, path in graphs.items()
    }


def choose_stems(stems: Literal["auto", 2, 4]) -> Literal[2, 4]:
    """Decide what auto means here: four stems where the official networks are installed, else two.

    Those that come along separate worse, and four take twice the time of two: they are for whoever
    asks for them.

    Raises
    ------
    ModelError
        If the user's folders cannot be looked into.
    """
    if stems != "auto":
        return stems
    if any(line.name == SETS[4] and line.origin == "installed" for line in Library().list()):
        return 4
    return 2
