"""Loads sets of networks."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from math import prod
from pathlib import Path
from threading import Lock
from typing import TypeAlias

import numpy as np

from stemd.daemon.engine.network_choice import find_networks, refuse_without_residual
from stemd.daemon.engine.scheduling import NORMAL, Role, RoleThread, wait_for_rest
from stemd.daemon.ports import REST
from stemd.daemon.work import Work
from stemd.dsp.banks import Network as NetworkCall
from stemd.dsp.banks import stream_of
from stemd.dsp.mask_kinds import MaskKind
from stemd.dsp.scheme import CHANNELS, Scheme
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.network import Network

log = logging.getLogger(__name__)

ByStem: TypeAlias = Mapping[str, NetworkCall | None]
"""Each stem's network, in the order of the ports; None for the last where it is the residual."""

Load: TypeAlias = Callable[[], ByStem]
"""Loads them, new ones each time."""


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
    masks : MaskKind
        What the networks give.

    Attributes
    ----------
    stems : tuple of str
    masks : MaskKind
    by_stem : ByStem
        Empty while there is no set that can be used.
    number : int
        Of the set, from 1 on.

    Raises
    ------
    ModelError
        As `load_anew`.
    """

    def __init__(
        self, load: Load, scheme: Scheme | None = None, masks: MaskKind = "sigmoid"
    ) -> None:
        self.masks = masks
        self._load = load
        self._scheme = scheme
        self._loading = Lock()
        self._replacing = Lock()
        """Held for a moment only, for the main thread may wait for it."""
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
        """Use the set of a number no more, for a thread that hangs still runs it (any thread)."""
        with self._replacing:
            if self.number == number:
                self.by_stem = {}

    def another(self) -> "LoadedNetworks":
        """Load a second set of the same kind.

        Raises
        ------
        ModelError
            As `load_anew`.
        """
        return LoadedNetworks(self._load, self._scheme, self.masks)

    def _replace(self) -> None:
        self.by_stem = {}
        loaded = self._load()
        if self._scheme:
            try_out(loaded, self._scheme)
        with self._replacing:
            self.number += 1
            self.by_stem = loaded


def try_out(networks: ByStem, scheme: Scheme) -> None:
    """Run each network on its first block, so that no listener has to find out that it fails.

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
    bins = scheme.grid.model_bins
    shape = (scheme.T, bins, CHANNELS)
    window = 1 + np.sin(np.arange(prod(shape), dtype=np.float32)).reshape(shape)
    out = np.empty((scheme.B, bins, CHANNELS), np.float32)
    for stem, network in networks.items():
        if network is None:
            continue
        try:
            stream_of(network)(window, out, 1)
        except Exception as error:  # noqa: BLE001 - whatever it is, this network cannot play
            raise ModelError(f"the network for {stem} failed on its first block: {error}") from None
        if not np.isfinite(out).all():
            raise ModelError(
                f"the network for {stem} gives values that are not numbers (NaN or infinity)"
            )


def load_networks(work: Work) -> ByStem:
    """Load each stem's network, in the order of the ports.

    Raises
    ------
    ConfigError
        If they have no residual, and one is asked for.
    ModelError
        If the networks are missing or damaged, or no runtime is installed.
    """
    refuse_without_residual(work)
    chosen = find_networks(work.networks.name, deep=False)  # `graphs` checks what it reads
    log.info("networks: %s (%s)", chosen.name, chosen.origin)
    graphs = chosen.graphs(work.spec)
    try:
        return _load(graphs, work)
    except ModelError:
        if all(path.exists() for path in graphs.values()):
            raise
    # Another process that derived others has forgotten these meanwhile.
    return _load(chosen.graphs(work.spec), work)


def _load(graphs: Mapping[str, Path], work: Work) -> ByStem:
    last = list(graphs)[-1]
    loaded = {
        stem: None if work.residual and stem == last else _network(path, work)
        for stem, path in graphs.items()
        if stem in work.networks.stems
    }
    return {**loaded, REST: None} if work.networks.has_rest else loaded


def _network(path: Path, work: Work) -> Network:
    wait_for_rest()  # the runtime holds the interpreter while it prepares the network
    return Network(path, work.threads, work.scheme.grid.model_bins)
