"""Chooses the first of a preset's schemes for which this machine is fast enough."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from stemd.daemon.capacity.estimate import (
    MOST_LOAD,
    Board,
    by_precision,
    differ_in_window,
    expected_block_s,
    expected_load,
    possible,
    this_board,
    ways_here,
)
from stemd.daemon.engine.network_choice import find_networks
from stemd.daemon.engine.networks import Load, load_networks
from stemd.daemon.errors import StemdError
from stemd.daemon.losses import loss_of
from stemd.daemon.work import Work

if TYPE_CHECKING:
    from stemd.daemon.capacity.benchmark import Measurement
    from stemd.daemon.capacity.measurements import Measurements, Remembered

log = logging.getLogger(__name__)

SURE = 1.5
"""How many times as fast as all others a precision is expected to be if it is taken by estimate;
below, they are compared on this machine."""

WORTH = 1.03
"""How many times as fast as the first of several precisions another one is at least if it is
taken: the first one needs less memory."""

BY_ESTIMATE = "by estimate"

ONLY_ONE = "no other one suits the runtime and the memory of this machine"

TRIES = 3
"""Starts at which a scheme that was too slow is measured again: the machine may have been busy."""


class Choice(NamedTuple):
    """What `choose` returns.

    Attributes
    ----------
    work : Work
    load : Load
        Loads its networks.
    why : str
        Why it has its precision; empty if all works have the same.
    """

    work: Work
    load: Load
    why: str


def choose(works: Sequence[Work]) -> Choice:
    """Choose work for which this machine is fast enough.

    Parameters
    ----------
    works : sequence of Work
        The most wanted one first. If they differ only in the length of the window, it is chosen
        by estimate, and no load is measured. Of works that differ in their precision, one after
        the other, the `quickest` counts. If the machine is too slow for all, the last one is
        chosen.

    Raises
    ------
    ModelError
        If the networks are missing or damaged, or no runtime is installed; what loads them raises
        it too.
    StemdError
        If nothing can be measured.
    """
    work, why = _first_held(works)
    return Choice(work, partial(load_networks, work), why or why_alone(works))


def why_alone(works: Sequence[Work]) -> str:
    """Return why only one precision was left; empty if there was but one."""
    return ONLY_ONE if len({work.precision for work in works}) > 1 else ""


def first_held(works: Sequence[Work]) -> Work:
    """Return the first work for which this machine is fast enough; see `choose`."""
    return _first_held(works)[0]


def _first_held(works: Sequence[Work]) -> tuple[Work, str]:
    board = this_board()
    ways = ways_here(works, board)
    windows = [way[0] for way in by_precision(works)]
    if differ_in_window(windows):
        work, why = quickest(ways[0], board)
        return _longest_window(work, windows, board), why
    from stemd.daemon.capacity.measurements import Measurements  # takes memory

    find_networks(works[0].networks.name, deep=False)
    cache = Measurements()
    for way in ways:
        work, why = quickest(way, board)
        known = _known(cache, work)
        if is_held(known.best):
            log.info(
                "this machine holds %s with a load of %.0f %% (stemd bench measures again)%s",
                work.scheme,
                100 * known.best.load,
                _told_loss(work),
            )
            return work, why
    log.warning(
        "this machine is too slow for every scheme of the preset, and live blocks will be late: "
        "another preset, networks: 2stems or precision: int8 takes less (stemd bench measures "
        "again)"
    )
    return work, why


def quickest(way: Sequence[Work], board: Board, anew: bool = False) -> tuple[Work, str]:
    """Choose the work of the fastest precision: by estimate if it is clear, else by comparison.

    Parameters
    ----------
    way : sequence of Work
        That differ in their precision; the first one is taken if no other is faster by `WORTH`.
        Those that are not `possible` do not count.
    board : Board
        This machine.
    anew : bool
        Compare even if they were compared before.

    Returns
    -------
    work : Work
    why : str
        Why it was chosen; empty if there was no other.

    Raises
    ------
    ModelError
        As `choose`.
    """
    fitting = possible(way, board)
    if len(fitting) == 1:
        return fitting[0], ""
    block_s, how = {work: expected_block_s(work, board) for work in fitting}, BY_ESTIMATE
    first, second, *_ = sorted(block_s.values())
    if second < SURE * first:
        block_s, how = _compare(fitting, anew) or (block_s, "by estimate: comparing them failed")
    work, why = fastest(block_s), f"a block takes {times_as_text(block_s)}, {how}"
    if work != fitting[0] or how != BY_ESTIMATE:  # what most machines take is no news
        log.info("precision: auto is %s (%s)", work.precision, why)
    return work, why


def _compare(works: Sequence[Work], anew: bool) -> tuple[dict[Work, float], str] | None:
    """Return the times of a block on this machine, and what they are; None if comparing fails.

    What failed once is not tried again unless ``anew``.
    """
    from stemd.daemon.capacity.measurements import Measurements  # takes memory

    cache = Measurements()
    if not anew and cache.recall_block_s(works) is None:
        if failure := cache.recall_failure(works):
            log.info("the precisions cannot be compared (stemd bench tries again): %s", failure)
            return None
        log.info("comparing the precisions on this machine, which takes some seconds once")
    try:
        return cache.compare(works, anew), "measured on this machine"
    except StemdError as error:
        log.warning("the precisions cannot be compared, so an estimate decides: %s", error)
    return None


def fastest(block_s: Mapping[Work, float]) -> Work:
    """Return the work whose block takes least, or the first one if that is no more than `WORTH`."""
    first, best = next(iter(block_s)), min(block_s, key=block_s.__getitem__)
    return best if block_s[first] >= WORTH * block_s[best] else first


def times_as_text(block_s: Mapping[Work, float]) -> str:
    """Return the times of a block in several precisions as text."""
    return ", ".join(f"{1e3 * each:.1f} ms in {work.precision}" for work, each in block_s.items())


def _longest_window(work: Work, windows: Sequence[Work], board: Board) -> Work:
    """Return the work with the longest window that is expected to be held, and log why."""
    if len(windows) > 1:
        log.info(
            "windows of %d spectra, of %s: the longest that this machine is expected to hold, "
            "with a load of %.0f %%%s",
            work.scheme.T,
            " or ".join(str(each.scheme.T) for each in windows),
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
