"""`profile: auto`: the stems, the precision and the preset that a machine can hold."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from stemd.daemon.boards import Board, expected_load, this_board
from stemd.daemon.networks import choose_stems
from stemd.daemon.presets import PRESETS
from stemd.daemon.work import Work
from stemd.tflite_models.runtime import preferred_precision
from stemd.tflite_models.spec import StreamingPrecision

log = logging.getLogger(__name__)

MOST_LOAD = 0.6
"""Of the time that a block may take, what a profile may be expected to take."""

MOST_MEMORY = 1 / 3
"""Of the machine's memory."""

MEMORY_MB = {1: 90, 2: 110, 4: 150}
"""What the daemon takes at most with so many networks in 8 bits or mixed."""

MORE_IN_FLOAT_MB = 30
"""For each network in float32."""


@dataclass(frozen=True)
class Profile:
    """What is chosen.

    Attributes
    ----------
    settings : dict
        Keys of the section ``separation``.
    reason : str
        Why.
    """

    settings: dict[str, Any]
    reason: str


def profile_here() -> dict[str, Any]:
    """Choose for this machine, and tell why; gives keys of the section ``separation``.

    Raises
    ------
    ModelError
        If the user's folders cannot be looked into.
    """
    profile = choose_profile(this_board(), choose_stems("auto"))
    log.info("profile: %s", profile.reason)
    return profile.settings


def choose_profile(board: Board, stems: Literal[2, 4]) -> Profile:
    """Choose what a machine is expected to hold, the best first.

    Parameters
    ----------
    board : Board
    stems : 2 or 4
        How many there are networks for.
    """
    wishes = [(preset, work, expected_load(work, board)) for preset, work in _wishes(board, stems)]
    fitting = [wish for wish in wishes if _fits(wish[1], board)] or wishes[-1:]
    held = [wish for wish in fitting if wish[2] <= MOST_LOAD]
    preset, work, load = held[0] if held else fitting[-1]
    settings = {
        "stems": work.stems,
        "remainder": work.remainder,
        "precision": work.precision,
        "preset": preset,
        "threads": work.threads,
    }
    fit = "is expected to take" if load <= MOST_LOAD else "is too slow for anything, and will take"
    reason = (
        f"{board.cores} cores ({board.core.name}), {board.memory_mb} MB of memory: {preset} with "
        f"{work} {fit} {load:.0%} of the time"
    )
    return Profile(settings, reason)


def _fits(work: Work, board: Board) -> bool:
    networks = work.stems - work.remainder
    more_mb = MORE_IN_FLOAT_MB * networks if work.precision == "fp32" else 0
    return MEMORY_MB[networks] + more_mb <= MOST_MEMORY * board.memory_mb


def _wishes(board: Board, stems: Literal[2, 4]) -> Iterator[tuple[str, Work]]:
    """Give what one would like to have, from the best: a delay that can be borne comes first."""
    precisions: tuple[StreamingPrecision, ...] = ("mixed", "int8")
    if preferred_precision() == "fp32":
        precisions = ("fp32",)
    for presets in (("balanced", "studio"), ("seed",)):
        ways: list[tuple[Literal[2, 4], bool]] = [(2, False), (2, True)]
        if stems == 4:
            ways.insert(0, (4, False))
        for number, remainder in ways:
            for preset in presets:
                for precision in precisions:
                    threads = max(1, board.cores // (number - remainder))
                    (scheme,) = PRESETS[preset]
                    yield preset, Work(scheme, number, precision, threads, remainder)
