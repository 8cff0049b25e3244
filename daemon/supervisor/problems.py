"""What a configuration asks for that this machine does not have, found before it is played.

`stemd run` meets the same errors where it uses what is missing; only the packages of interfaces it
does without.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeAlias

from stemd.daemon.capacity.profiles import completed
from stemd.daemon.config import Config, SeparationSection
from stemd.daemon.control.socket_paths import expanded
from stemd.daemon.device.loopbacks import refuse_impossible
from stemd.daemon.engine.network_choice import (
    choose_networks,
    find_networks,
    refuse_without_residual,
)
from stemd.daemon.errors import ConfigError, StemdError
from stemd.tflite_models.errors import ModelError

Problem: TypeAlias = StemdError | ModelError
"""The message has the remedy."""


def refuse_problems(config: Config) -> None:
    """Raise an error if this machine lacks what the configuration asks for.

    Parameters
    ----------
    config : Config
        As it was read, not completed.

    Raises
    ------
    ConfigError
        With everything that is missing, a line each.
    ModelError
        The networks are damaged, or cannot be read, and nothing else is wrong.
    """
    problems = [*problems_of_networks(config), *other_problems(config)]
    if not any(isinstance(each, StemdError) for each in problems):
        for each in problems:
            raise each
    if problems:
        lines = (line for each in problems for line in str(each).splitlines())
        raise ConfigError("the configuration cannot be used:", *lines)


def problems_of_networks(config: Config) -> Iterator[Problem]:
    """Yield why the networks that `stemd run` would take cannot be used; each file is checked."""
    wishes, unfit = config.separation, list[Problem]()
    try:
        wishes = completed(config).separation
    except (StemdError, ModelError) as error:
        unfit.append(error)
    works = () if unfit else (partial(_refuse_works, wishes),)
    problems = [*_errors_of([partial(_find_set, wishes)]), *unfit, *_errors_of(works)]
    yield from {str(each): each for each in problems}.values()


def other_problems(config: Config) -> Iterator[Problem]:
    """Yield each other thing that this machine lacks."""
    control = config.control
    paths = {"control.state_file": control.state_file}
    if control.socket not in ("auto", "off"):
        paths["control.socket"] = control.socket
    yield from _errors_of(partial(expanded, key, path) for key, path in paths.items() if path)
    yield from _errors_of([partial(refuse_impossible, config.jack.device, config.jack.server)])
    yield from _errors_of(interface.refuse_without_extra for _, interface in config.interfaces())


def _errors_of(checks: Iterable[Callable[[], object]]) -> Iterator[Problem]:
    for check in checks:
        try:
            check()
        except (StemdError, ModelError) as error:
            yield error


def _find_set(wishes: SeparationSection) -> None:
    find_networks(choose_networks(wishes.networks, wishes.stems).name)


def _refuse_works(wishes: SeparationSection) -> None:
    try:
        chosen = choose_networks(wishes.networks, wishes.stems)
    except (StemdError, ModelError):
        return  # `_find_set` raises it
    for work in wishes.works(chosen):
        refuse_without_residual(work)
