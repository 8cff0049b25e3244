"""What a configuration asks for that this machine does not have, found before it is played.

`stemd run` meets the same errors where it uses what is missing; only the packages of interfaces it
does without.
"""

from collections.abc import Callable, Iterator
from functools import partial

from stemd.daemon.config import Config
from stemd.daemon.control.socket_paths import expanded
from stemd.daemon.engine.networks import choose_networks, refuse_without_residual
from stemd.daemon.errors import ConfigError, StemdError


def refuse_problems(config: Config) -> None:
    """Raise an error if this machine lacks what the configuration asks for.

    Raises
    ------
    ConfigError
        With everything that is missing, a line each.
    ModelError
        The user's folders cannot be read.
    """
    if problems := list(problems_of(config)):
        raise ConfigError("the configuration cannot be used on this machine:", *problems)


def problems_of(config: Config) -> Iterator[str]:
    """Yield each thing that this machine lacks, with the remedy.

    Raises
    ------
    ModelError
        The user's folders cannot be read.
    """
    control = config.control
    paths = {"control.state_file": control.state_file}
    if control.socket not in ("auto", "off"):
        paths["control.socket"] = control.socket
    checks: list[Callable[[], object]] = [partial(_check_networks, config)]
    checks += [partial(expanded, key, path) for key, path in paths.items() if path]
    checks += [interface.refuse_without_extra for _, interface in config.interfaces()]
    for check in checks:
        try:
            check()
        except StemdError as error:
            yield str(error)


def _check_networks(config: Config) -> None:
    wishes = config.separation
    for work in wishes.works(choose_networks(wishes.networks, wishes.stems)):
        refuse_without_residual(work)
