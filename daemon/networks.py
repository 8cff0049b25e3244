"""Chooses the set of networks for the configuration, and loads it."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Literal

from stemd.dsp.scheme import Scheme
from stemd.tflite_models.library import Library
from stemd.tflite_models.network import Network
from stemd.tflite_models.spec import GraphSpec, StreamingPrecision

log = logging.getLogger(__name__)

SETS = {2: "2stems", 4: "4stems"}


def load_networks(
    stems: Literal["auto", 2, 4], scheme: Scheme, precision: StreamingPrecision, threads: int = 1
) -> Mapping[str, Network]:
    """Load each stem's network, in the order of the ports.

    Parameters
    ----------
    stems : "auto", 2 or 4
        auto is four where those are installed, and two otherwise.
    scheme : Scheme
    precision : StreamingPrecision
    threads : int
        Threads of each network.

    Raises
    ------
    ModelError
        If the networks are missing or damaged, or no runtime is installed.
    """
    library = Library()
    chosen = library.find(SETS[choose_stems(stems, library)])
    log.info("networks: %s (%s)", chosen.name, chosen.origin)
    spec = GraphSpec(**asdict(scheme), precision=precision)
    return {stem: Network(path, threads) for stem, path in chosen.graphs(spec).items()}


def choose_stems(stems: Literal["auto", 2, 4], library: Library) -> Literal[2, 4]:
    """Decide what auto means here, and say how to get the other."""
    if stems != "auto":
        return stems
    if any(line.name == SETS[4] and line.origin for line in library.list()):
        return 4
    log.info("two stems: the four-stem networks are not installed (stemd models install 4stems)")
    return 2
