"""Chooses the set of networks for the configuration, and loads it."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict
from math import prod
from pathlib import Path
from threading import Lock
from typing import Literal, TypeAlias

import numpy as np

from stemd.daemon.engine.scheduling import NORMAL, Role, RoleThread, wait_for_rest
from stemd.daemon.work import Work
from stemd.dsp.banks import Network as NetworkCall
from stemd.dsp.scheme import CHANNELS, MODEL_BINS, Scheme
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.network import Network
from stemd.tflite_models.store.library import Library
from stemd.tflite_models.store.sets import ModelSet

log = logging.getLogger(__name__)

SETS: dict[Literal[2, 4], str] = {2: "2stems", 4: "4stems"}


ByStem: TypeAlias = Mapping[str, NetworkCall | None]
"""Each stem's network, in the order of the ports; None for the last where it is the remainder."""

Load: TypeAlias = Callable[[], ByStem]
"""Loads them, anew each time."""


TRIAL_S = 30.0
"""How long the first block of all networks of a set, one after the other, may take."""


class LoadedNetworks:
    """The set of networks in use, in the order of the ports.

    Nothing else keeps networks from one use to the next, for they take most of the memory. Loading
    takes seconds on a small board: never on the main thread.

    Parameters
    ----------
    load : Load
    scheme : Scheme, optional
        Of the networks; with it each set is tried out before it counts as loaded: see `try_out`.

    Attributes
    ----------
    stems : tuple of str
    by_stem : ByStem
        Empty while there is no set that can be used.
    number : int
        Of the set, from 1 on.

    Raises
    ------
    ModelError
        As `load_anew`.
    """

    def __init__(self, load: Load, scheme: Scheme | None = None) -> None:
        self._load = load
        self._scheme = scheme
        self._loading = Lock()
        self.by_stem: ByStem = {}
        self.number = 0
        self.load_anew()
        self.stems = tuple(self.by_stem)

    def load_anew(self) -> None:
        """Load another set of the same kind; the present one is given up first (any thread).

        Raises
        ------
        ModelError
            The networks are missing or damaged meanwhile, or fail on their first block.
        """
        with self._loading:
            self._replace()

    def ensure(self) -> None:
        """Load a set if there is none, or wait for the one that is being loaded (any thread).

        Raises
        ------
        ModelError
            As `load_anew`.
        """
        with self._loading:
            if not self.by_stem:
                self._replace()

    def give_up(self, number: int) -> None:
        """Use the set of a number no more: a thread that hangs still runs it."""
        if self.number == number:
            self.by_stem = {}

    def another(self) -> "LoadedNetworks":
        """Load a second set of the same kind.

        Raises
        ------
        ModelError
            As `load_anew`.
        """
        return LoadedNetworks(self._load, self._scheme)

    def _replace(self) -> None:
        self.by_stem = {}
        loaded = self._load()
        if self._scheme:
            try_out(loaded, self._scheme)
        self.number += 1
        self.by_stem = loaded


def try_out(networks: ByStem, scheme: Scheme) -> None:
    """Run each network on one window of sound, so that no listener has to find out that it fails.

    It takes as long as a block, on a thread without priority: what plays goes first.

    Raises
    ------
    ModelError
        A network fails, hangs, or gives what is no number.
    """
    tried: Future[None] = Future()

    def try_all() -> None:
        try:
            _try_out(networks, scheme)
            tried.set_result(None)
        except BaseException as error:  # noqa: BLE001 - it is for the one that waits
            tried.set_exception(error)

    RoleThread(Role.NETWORKS, try_all, "stemd-trial", lambda: NORMAL, is_long=True).start()
    try:
        tried.result(TRIAL_S)
    except TimeoutError:
        raise ModelError(f"the networks did not end their first block in {TRIAL_S:.0f} s") from None


def _try_out(networks: ByStem, scheme: Scheme) -> None:
    shape = (scheme.T, MODEL_BINS, CHANNELS)
    window = 1 + np.sin(np.arange(prod(shape), dtype=np.float32)).reshape(shape)
    out = np.empty((scheme.B, MODEL_BINS, CHANNELS), np.float32)
    for stem, network in networks.items():
        if network is None:
            continue
        try:
            network(window, out)
        except Exception as error:  # noqa: BLE001 - whatever it is, this network cannot play
            raise ModelError(f"the network for {stem} failed on its first block: {error}") from None
        if not np.isfinite(out).all():
            raise ModelError(f"the network for {stem} gives what is no number (NaN or infinity)")


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
        stem: None if work.remainder and stem == last else _network(path, work.threads)
        for stem, path in graphs.items()
    }


def _network(path: Path, threads: int) -> Network:
    wait_for_rest()  # the runtime holds the interpreter while it prepares the network
    return Network(path, threads)


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
