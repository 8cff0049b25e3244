"""What a configuration leaves to the machine; `profile: auto` leaves most of `separation` to it."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stemd.daemon.capacity.estimate import Board, expected_load, this_board
from stemd.daemon.config import Config
from stemd.daemon.config_file import validated
from stemd.daemon.engine.networks import choose_stems
from stemd.daemon.presets import PRESETS
from stemd.daemon.work import Work
from stemd.tflite_models.graphs.spec import StreamingPrecision
from stemd.tflite_models.runtime import preferred_precision

log = logging.getLogger(__name__)

MOST_LOAD = 0.6
"""The highest expected load of a profile, as a share of the time that a block may take."""

MOST_MEMORY = 1 / 3
"""The share of the machine's memory that stemd may need."""

MEMORY_MB = 70
"""The most that the daemon needs besides its networks."""

NETWORK_MB = {"fp32": 50, "mixed": 20, "int8": 20}
"""The most that each network needs."""

KEYS = ("stems", "remainder", "precision", "preset", "threads")
"""Of the section ``separation``: what a profile chooses."""


@dataclass(frozen=True)
class Profile:
    """What is chosen.

    Attributes
    ----------
    settings : dict
        Keys of the section ``separation``, all of `KEYS`.
    reason : str
        Why.
    """

    settings: dict[str, Any]
    reason: str


def completed(config: Config) -> Config:
    """Return the configuration with what the user leaves to this machine.

    That is the precision that suits the runtime; with ``profile: auto`` all of `KEYS`, and the log
    says why they were chosen.

    Raises
    ------
    ConfigError
        What the user gave does not go with what was chosen.
    ModelError
        The user's folders cannot be read.
    """
    wishes = config.separation
    given = wishes.model_dump(exclude_unset=True)
    chosen = {"precision": preferred_precision(), **given}
    if wishes.profile == "auto":
        chosen = {**given, **_profile_here(given)}
    origin = "the configuration, completed for this machine,"
    return validated({**dict(config), "separation": chosen}, origin)


def _profile_here(given: Mapping[str, Any]) -> dict[str, Any]:
    """Choose a profile for this machine, and log why."""
    wished = {key: given[key] for key in KEYS if key in given}
    stems = choose_stems(wished.get("stems", "auto"))
    if wished.get("stems") == "auto":
        del wished["stems"]
    profile = choose_profile(this_board(), stems, wished)
    log.info("profile: %s", profile.reason)
    return profile.settings


def choose_profile(
    board: Board, stems: Literal[2, 4], given: Mapping[str, Any] | None = None
) -> Profile:
    """Choose what a machine is expected to hold, the best first.

    Parameters
    ----------
    board : Board
    stems : 2 or 4
        How many there are networks for.
    given : mapping, optional
        What is not to be chosen: some of `KEYS`.
    """
    choices = [_choice({**wish, **(given or {})}, board) for wish in _wishes(stems)]
    fitting = [choice for choice in choices if choice.memory_mb <= MOST_MEMORY * board.memory_mb]
    held = [choice for choice in fitting if choice.load <= MOST_LOAD]
    chosen = (held[:1] or fitting[-1:] or choices[-1:])[0]
    fit = "is expected to take" if chosen.load <= MOST_LOAD else "is too slow, and will take"
    reason = (
        f"{board.cores} cores ({board.core.name}), {board.memory_mb} MB of memory: "
        f"{chosen.settings['preset']} with {chosen.work} {fit} {chosen.load:.0%} of the time"
    )
    return Profile(chosen.settings, reason)


@dataclass(frozen=True)
class _Choice:
    """What could be chosen, and what is expected of it."""

    settings: dict[str, Any]
    work: Work
    load: float
    memory_mb: float


def _choice(settings: dict[str, Any], board: Board) -> _Choice:
    """Make one of keys but for threads, of which there are as many as there are cores."""
    networks = settings["stems"] - settings["remainder"]
    settings = {"threads": max(1, board.cores // networks), **settings}
    rest = {key: value for key, value in settings.items() if key != "preset"}
    work = Work(scheme=PRESETS[settings["preset"]][-1], **rest)
    memory_mb = MEMORY_MB + networks * NETWORK_MB[work.precision]
    return _Choice(settings, work, expected_load(work, board), memory_mb)


def _wishes(stems: Literal[2, 4]) -> Iterator[dict[str, Any]]:
    """Give what one would like to have, from the best: a delay that can be borne comes first."""
    precisions: tuple[StreamingPrecision, ...] = ("mixed", "int8")
    if preferred_precision() == "fp32":
        precisions = ("fp32",)
    ways = [(2, False), (2, True)]
    if stems == 4:
        ways.insert(0, (4, False))
    for presets in (("balanced", "studio"), ("seed",)):
        for number, remainder in ways:
            for preset in presets:
                for precision in precisions:
                    yield {
                        "stems": number,
                        "remainder": remainder,
                        "preset": preset,
                        "precision": precision,
                    }
