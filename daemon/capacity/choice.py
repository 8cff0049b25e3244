"""Chooses the first of a preset's schemes for which this machine is fast enough."""

import logging
from collections.abc import Sequence
from functools import partial

from stemd.daemon.capacity.benchmark import Measurement
from stemd.daemon.capacity.estimate import MOST_LOAD
from stemd.daemon.capacity.measurements import Measurements, Remembered
from stemd.daemon.engine.networks import Load, find_networks, load_networks
from stemd.daemon.work import Work

log = logging.getLogger(__name__)

TRIES = 3
"""Starts at which a scheme that was too slow is measured again: the machine may have been busy."""


def choose(works: Sequence[Work]) -> tuple[Work, Load]:
    """Choose work for which this machine is fast enough; return it, and what loads its networks.

    Parameters
    ----------
    works : sequence of Work
        The most wanted one first. A single one is not measured. If the machine is too slow for
        all, the last one is chosen.

    Raises
    ------
    ModelError
        If the networks are missing or damaged, or no runtime is installed; what loads them raises
        it too.
    StemdError
        If nothing can be measured.
    """
    work = first_held(works)
    return work, partial(load_networks, work)


def first_held(works: Sequence[Work]) -> Work:
    """Return the first work for which this machine is fast enough; see `choose`."""
    if len(works) == 1:
        return works[0]
    find_networks(works[0].networks.name)
    cache = Measurements()
    for work in works:
        known = _known(cache, work)
        if is_held(known.best):
            log.info(
                "this machine holds %s with a load of %.0f %% (stemd bench measures again)",
                work.scheme,
                100 * known.best.load,
            )
            return work
    log.warning(
        "this machine is too slow for every scheme of the preset, and live blocks will be late: "
        "another preset, networks: 2stems or precision: int8 takes less (stemd bench measures "
        "again)"
    )
    return works[-1]


def is_held(measurement: Measurement) -> bool:
    """Whether the machine is fast enough for the measured work, with `MOST_LOAD`."""
    return measurement.load <= MOST_LOAD


def _known(cache: Measurements, work: Work) -> Remembered:
    """Return the measurements of this work; measure it if there are too few to reject it."""
    known = cache.recall(work)
    if known and (is_held(known.best) or known.times >= TRIES):
        return known
    log.info("measuring this machine: %s", work)
    return cache.measure(work, enough=TRIES if known else 1)
