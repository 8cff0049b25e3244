"""Chooses the keys that a configuration leaves to the machine, as `profile: auto` does."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stemd.daemon.capacity.estimate import (
    MOST_LOAD,
    Board,
    by_precision,
    differ_in_window,
    expected_load,
    expected_quickest,
    fits,
    this_board,
    ways_here,
)
from stemd.daemon.config import SCHEME_KEYS, Config
from stemd.daemon.config_file import validated
from stemd.daemon.engine.network_choice import TWO, choose_networks
from stemd.daemon.errors import ConfigError
from stemd.daemon.presets import fitting_schemes
from stemd.daemon.work import AUTO, PrecisionWish, SetOfNetworks, Work
from stemd.dsp.scheme import Scheme
from stemd.tflite_models.graphs.spec import StreamingPrecision
from stemd.tflite_models.runtime import preferred_precision

log = logging.getLogger(__name__)

KEYS = ("residual", "precision", "preset", "threads")
"""The keys of the section ``separation`` that a profile chooses, besides the networks."""


@dataclass(frozen=True)
class Profile:
    """The chosen keys, and the reason.

    Attributes
    ----------
    settings : dict
        Keys of the section ``separation``, all of `KEYS`.
    reason : str
        Why.
    precision : StreamingPrecision
        The arithmetic that is expected: of auto, the fastest.
    """

    settings: dict[str, Any]
    reason: str
    precision: StreamingPrecision


def completed(config: Config) -> Config:
    """Return the configuration with the keys that the user leaves to this machine.

    With ``profile: auto`` they are all of `KEYS`, and the log gives the reason.

    Raises
    ------
    ConfigError
        The user's keys do not fit the chosen ones.
    ModelError
        The user's folders cannot be read.
    """
    wishes = config.separation
    if wishes.profile != "auto":
        return config
    given = wishes.model_dump(exclude_unset=True)
    chosen = {**given, **_profile_here(given)}
    origin = "the configuration, completed for this machine,"
    return validated({**dict(config), "separation": chosen}, origin)


def _profile_here(given: Mapping[str, Any]) -> dict[str, Any]:
    """Choose a profile for this machine, and log why."""
    profile = choose_profile(
        this_board(),
        sets_to_choose_from(
            given.get("networks", AUTO), given.get("stems", AUTO), given.get("only", ())
        ),
        {key: given[key] for key in KEYS if key in given},
        {key: given[key] for key in SCHEME_KEYS if given.get(key) is not None},
    )
    log.info("profile: %s", profile.reason)
    return {**profile.settings, "stems": AUTO}


def sets_to_choose_from(
    networks: str, stems: Literal["auto"] | int, only: Collection[str] = ()
) -> tuple[SetOfNetworks, ...]:
    """Return the sets to choose from: the wanted one; if none is wanted, two stems come second.

    Raises
    ------
    ConfigError, ModelError
        As `choose_networks`; the wanted set does not have a stem of ``only``.
    """
    sets = [choose_networks(networks, stems).only(only)]
    if networks == stems == AUTO and sets[0].name != TWO:
        two = choose_networks(TWO)
        sets += [two.only(only)] if {*only} <= {*two.stems} else []
    return tuple(sets)


def choose_profile(
    board: Board,
    sets: Sequence[SetOfNetworks],
    given: Mapping[str, Any] | None = None,
    by_hand: Mapping[str, int] | None = None,
) -> Profile:
    """Choose the best settings for which a machine is expected to be fast enough.

    Parameters
    ----------
    board : Board
    sets : sequence of SetOfNetworks
        The sets to choose from, the best first; the last stem of the last one may be the residual.
    given : mapping, optional
        Keys that are set already: some of `KEYS`.
    by_hand : mapping of str to int, optional
        Numbers of spectra that are set already: some of `SCHEME_KEYS`.

    Raises
    ------
    ConfigError
        No preset fits the networks and the numbers.
    """
    choices = list(_choices(board, sets, given or {}, by_hand or {}))
    fitting = [choice for choice in choices if fits(choice.work, board)]
    held = [choice for choice in fitting if choice.load <= MOST_LOAD]
    chosen = (held[:1] or fitting[-1:] or choices[-1:])[0]
    fit = "is expected to take" if chosen.load <= MOST_LOAD else "is too slow, and will take"
    reason = (
        f"{board.cores} cores ({board.core.name}), {board.memory_mb} MB of memory: "
        f"{chosen.settings['preset']} with {chosen.work} {fit} {chosen.load:.0%} of the time"
    )
    return Profile(chosen.settings, reason, chosen.work.precision)


@dataclass(frozen=True)
class _Choice:
    """Settings that could be chosen, and the expected load."""

    settings: dict[str, Any]
    work: Work
    load: float


def _choices(
    board: Board,
    sets: Sequence[SetOfNetworks],
    given: Mapping[str, Any],
    by_hand: Mapping[str, int],
) -> Iterator[_Choice]:
    """Yield the choices whose preset fits the networks, the best first.

    Raises
    ------
    ConfigError
        No preset fits.
    """
    misfit, fits = "", False
    for networks, wish in _wishes(sets):
        settings = {**wish, **given}
        if settings["precision"] != AUTO:
            settings["precision"] = networks.precision(settings["precision"])
        try:
            schemes = fitting_schemes(settings["preset"], by_hand, networks.grid)
        except ValueError as error:
            misfit = f"{error}, for the {networks.name} networks"
            continue
        fits = True
        yield _choice(settings, schemes, networks, board)
    if not fits:
        raise ConfigError(
            f"separation: no preset fits: {misfit}; set separation.T, B and A to numbers that do"
        )


def _choice(
    settings: dict[str, Any], schemes: Sequence[Scheme], networks: SetOfNetworks, board: Board
) -> _Choice:
    """Return the choice of some keys, with enough threads to use all cores.

    Of several delays it counts the longest, in the window that `first_held` will choose.
    """
    running = len(networks.stems) - (settings["residual"] or networks.has_rest)
    settings = {"threads": max(1, board.cores // running), **settings}
    rest = {key: settings[key] for key in ("threads", "residual")}
    works = [
        Work(scheme, networks, precision, **rest)
        for scheme in schemes
        for precision in networks.precisions(settings["precision"])
    ]
    shortest = by_precision(works)[-1][0]
    of_longest_delay = [way for way in by_precision(works) if differ_in_window([way[0], shortest])]
    kept = ways_here([work for way in of_longest_delay for work in way], board)
    work = expected_quickest(kept[0], board)
    settings = {"networks": networks.name, **settings}
    return _Choice(settings, work, expected_load(work, board))


def _wishes(sets: Sequence[SetOfNetworks]) -> Iterator[tuple[SetOfNetworks, dict[str, Any]]]:
    """Yield the choices, the best first: an acceptable delay is the most important."""
    precisions: tuple[PrecisionWish, ...] = ("auto", "int8")
    if preferred_precision() == "fp32":
        precisions = ("fp32",)
    ways = [(networks, False) for networks in sets]
    if sets[-1].masks != "softmax" and not sets[-1].has_rest:  # else every network is needed
        ways.append((sets[-1], True))
    for presets in (("balanced", "studio"), ("seed",)):
        for networks, residual in ways:
            for preset in presets:
                for precision in precisions:
                    wish = {"residual": residual, "preset": preset, "precision": precision}
                    yield networks, wish
