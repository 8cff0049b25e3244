"""What this machine holds: of a preset's schemes the first that it has the time for."""

import logging
from collections.abc import Sequence
from functools import partial

from stemd.daemon.capacity.benchmark import Measurement
from stemd.daemon.capacity.measurements import Measurements, Remembered
from stemd.daemon.engine.networks import Load, find_networks, load_networks
from stemd.daemon.work import Work

log = logging.getLogger(__name__)

HEADROOM = 0.6
"""A scheme is held if a block takes no more than this share of the time that it may take: other
programs want some of it, and so does a processor that gets warm."""

TRIES = 3
"""Starts at which a scheme that is not held is measured again: the machine may have been busy."""


def choose(works: Sequence[Work]) -> tuple[Work, Load]:
    """Choose what this machine holds, and give what loads its networks.

    Parameters
    ----------
    works : sequence of Work
        From the one wanted most to the one wanted least. Of a single one nothing is measured; where
        none is held, it is the last.

    Raises
    ------
    ModelError
        If the networks are missing or damaged, or no runtime is installed; loading them raises it
        too.
    StemdError
        If nothing can be measured.
    """
    work = first_held(works)
    return work, partial(load_networks, work)


def first_held(works: Sequence[Work]) -> Work:
    """Choose as `choose` does."""
    if len(works) == 1:
        return works[0]
    find_networks(works[0].stems)
    cache = Measurements()
    for work in works:
        known = _known(cache, work)
        if is_held(known.best):
            log.info(
                "this machine holds %s with a load of %.0f %% (stemd bench measures anew)",
                work.scheme,
                100 * known.best.load,
            )
            return work
    log.warning(
        "this machine is too slow for every scheme of the preset, and live blocks will be late: "
        "another preset, stems: 2 or precision: int8 takes less (stemd bench measures anew)"
    )
    return works[-1]


def is_held(measurement: Measurement) -> bool:
    """Tell whether a machine of which this was measured has the time, with room to spare."""
    return measurement.load <= HEADROOM


def _known(cache: Measurements, work: Work) -> Remembered:
    """Recall, or measure what was never measured, or not often enough to be given up."""
    known = cache.recall(work)
    if known and (is_held(known.best) or known.times >= TRIES):
        return known
    log.info("measuring this machine: %s", work)
    return cache.measure(work, enough=TRIES if known else 1)
