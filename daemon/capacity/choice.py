"""Chooses the first of a preset's schemes for which this machine is fast enough."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from stemd.daemon.capacity.estimate import (
    MOST_LOAD,
    differ_in_window,
    expected_load,
    this_board,
    without_slow_windows,
)
from stemd.daemon.engine.network_choice import find_networks
from stemd.daemon.engine.networks import Load, load_networks
from stemd.daemon.losses import loss_of
from stemd.daemon.work import Work

if TYPE_CHECKING:
    from stemd.daemon.capacity.benchmark import Measurement
    from stemd.daemon.capacity.measurements import Measurements, Remembered

log = logging.getLogger(__name__)

TRIES = 3
"""Starts at which a scheme that was too slow is measured again: the machine may have been busy."""


def choose(works: Sequence[Work]) -> tuple[Work, Load]:
    """Choose work for which this machine is fast enough; return it, and what loads its networks.

    Parameters
    ----------
    works : sequence of Work
        The most wanted one first. If they differ only in the length of the window, it is chosen
        by estimate, and nothing is measured. If the machine is too slow for all, the last one is
        chosen.

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
    if differ_in_window(works):
        return _longest_window(works)
    from stemd.daemon.capacity.measurements import Measurements  # takes memory

    find_networks(works[0].networks.name)
    cache = Measurements()
    for work in without_slow_windows(works, this_board()):
        known = _known(cache, work)
        if is_held(known.best):
            log.info(
                "this machine holds %s with a load of %.0f %% (stemd bench measures again)%s",
                work.scheme,
                100 * known.best.load,
                _told_loss(work),
            )
            return work
    log.warning(
        "this machine is too slow for every scheme of the preset, and live blocks will be late: "
        "another preset, networks: 2stems or precision: int8 takes less (stemd bench measures "
        "again)"
    )
    return works[-1]


def _longest_window(works: Sequence[Work]) -> Work:
    """Return the work with the longest window that this machine is expected to hold."""
    board = this_board()
    work = without_slow_windows(works, board)[0]
    if len(works) > 1:
        log.info(
            "windows of %d spectra, of %s: the longest that this machine is expected to hold, "
            "with a load of %.0f %%%s",
            work.scheme.T,
            " or ".join(str(each.scheme.T) for each in works),
            100 * expected_load(work, board),
            _told_loss(work),
        )
    return work


def _told_loss(work: Work) -> str:
    """Return what a preset loses as the end of a message; empty if it was not measured."""
    loss = loss_of(work)
    return f"; on recorded songs the vocals lose {loss} against offline" if loss else ""


def is_held(measurement: "Measurement") -> bool:
    """Whether the machine is fast enough for the measured work, with `MOST_LOAD`."""
    return measurement.load <= MOST_LOAD


def _known(cache: "Measurements", work: Work) -> "Remembered":
    """Return the measurements of this work; measure it if there are too few to reject it."""
    known = cache.recall(work)
    if known and (is_held(known.best) or known.times >= TRIES):
        return known
    log.info("measuring this machine: %s", work)
    return cache.measure(work, enough=TRIES if known else 1)
