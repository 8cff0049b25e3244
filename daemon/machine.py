"""What this machine holds: of a preset's schemes the first that it has the time for."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Literal

from stemd.daemon.measuring import Measurement, Work
from stemd.daemon.memory import Memory, Remembered
from stemd.daemon.networks import Load, choose_stems, find_networks, load_networks
from stemd.dsp.scheme import Scheme
from stemd.tflite_models.spec import StreamingPrecision

log = logging.getLogger(__name__)

HEADROOM = 0.6
"""A scheme is held if a block takes no more than this share of the time that it may take: other
programs want some of it, and so does a processor that gets warm."""

TRIES = 3
"""Starts at which a scheme that is not held is measured again: the machine may have been busy."""


def choose(
    stems: Literal["auto", 2, 4],
    schemes: Sequence[Scheme],
    precision: StreamingPrecision,
    threads: int,
) -> tuple[Scheme, Load]:
    """Choose a preset's scheme for this machine, and give what loads its networks.

    Parameters
    ----------
    stems : "auto", 2 or 4
    schemes : sequence of Scheme
        From the one wanted most to the one wanted least. Of a single one nothing is measured; where
        none is held, it is the last.
    precision : StreamingPrecision
    threads : int
        Threads of each network.

    Raises
    ------
    ModelError
        If the networks are missing or damaged, or no runtime is installed; loading them raises it
        too.
    StemdError
        If nothing can be measured.
    """
    number = choose_stems(stems)
    scheme = first_held(number, schemes, precision, threads)
    return scheme, partial(load_networks, number, scheme, precision, threads)


def first_held(
    stems: Literal[2, 4], schemes: Sequence[Scheme], precision: StreamingPrecision, threads: int = 1
) -> Scheme:
    """Choose the scheme as `choose` does."""
    if len(schemes) == 1:
        return schemes[0]
    find_networks(stems)
    memory = Memory()
    for scheme in schemes:
        known = _known(memory, Work(scheme, stems, precision, threads))
        if is_held(known.best):
            log.info(
                "this machine holds %s with a load of %.0f %% (stemd bench measures anew)",
                scheme,
                100 * known.best.load,
            )
            return scheme
    log.warning(
        "this machine is too slow for every scheme of the preset, and live blocks will be late: "
        "another preset, stems: 2 or precision: int8 takes less (stemd bench measures anew)"
    )
    return schemes[-1]


def is_held(measurement: Measurement) -> bool:
    """Tell whether a machine of which this was measured has the time, with room to spare."""
    return measurement.load <= HEADROOM


def _known(memory: Memory, work: Work) -> Remembered:
    """Recall, or measure what was never measured, or not often enough to be given up."""
    known = memory.recall(work)
    if known and (is_held(known.best) or known.times >= TRIES):
        return known
    log.info("measuring this machine: %s, %d stems, %s", work.scheme, work.stems, work.precision)
    return memory.measure(work, enough=TRIES if known else 1)
