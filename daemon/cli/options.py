"""Options and values that several commands take."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from math import isnan
from pathlib import Path
from typing import Any, TypeAlias, get_args

import click
from click.shell_completion import CompletionItem
from pydantic import BaseModel

from stemd.daemon.config import Config
from stemd.daemon.config_file import ALIKE, load_config
from stemd.daemon.wording import nearest

Command: TypeAlias = Callable[..., Any]
"""The function behind a command."""


class Choice(click.Choice):  # type: ignore[type-arg] # generic since click 8.2 only
    """One of some words; completed, and suggested where it is misspelt."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the word; the error names the one that was perhaps meant."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            near = nearest(value, map(str, self.choices), ALIKE)
            hint = f" Did you mean {near}?" if near else ""
            raise click.BadParameter(f"{error.message}{hint}", ctx, param) from None


class Seconds(click.FloatRange):
    """A number of seconds within bounds."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number; click itself finds NaN within any bounds."""
        seconds: float = super().convert(value, param, ctx)
        if isnan(seconds):
            self.fail(f"{value} is no number of seconds", param, ctx)
        return seconds


@dataclass(frozen=True)
class ConfigSource:
    """Where a command's configuration comes from.

    Attributes
    ----------
    path : Path or None
        The file that is given; None: the user's own, where there is one.
    settings : tuple of str
        ``section.key=value``, which win over the file.
    """

    path: Path | None = None
    settings: tuple[str, ...] = ()

    def load(self) -> Config:
        """Read the configuration, and complete it for this machine.

        Raises
        ------
        ConfigError
            With every error in it, a line each.
        """
        from stemd.daemon.capacity.profiles import completed

        return completed(load_config(self.path, self.settings))

    def arguments(self) -> list[str]:
        """Return the options that give another `stemd` the same configuration."""
        given = ["-c", str(self.path)] if self.path else []
        return given + [word for setting in self.settings for word in ("--set", setting)]


@dataclass(frozen=True)
class _KeyOption:
    """An option that stands for one key of the configuration."""

    key: str
    help: str
    metavar: str | None = None
    """Of free text; else the option takes the words of the key."""

    def decorator(self, name: str) -> Callable[[Command], Command]:
        kind = None if self.metavar else values_of(*self.key.split("."))
        return click.option(
            f"--{name.replace('_', '-')}", name, type=kind, metavar=self.metavar, help=self.help
        )

    def setting(self, value: str) -> str:
        """Return it as ``section.key=value``; text is quoted, whatever it looks like in YAML."""
        return f"{self.key}={json.dumps(value) if self.metavar else value}"


_KEY_OPTIONS = {
    "server": _KeyOption("jack.server", "The kind of audio server; overrides jack.server."),
    "server_name": _KeyOption(
        "jack.server_name",
        "Which of several servers: the name given to jackd (-n), or of PipeWire's socket.",
        metavar="NAME",
    ),
    "stems": _KeyOption(
        "separation.stems",
        "How many stems; auto: 4 where Deezer's four-stem networks are installed, else 2.",
    ),
    "preset": _KeyOption(
        "separation.preset",
        "From the longest delay (seed, 6 s) to the shortest (live, 0.2 s).",
    ),
    "precision": _KeyOption("separation.precision", "Arithmetic of the networks."),
}


def with_config(*names: str) -> Callable[[Command], Command]:
    """Give a command the options that make up its configuration.

    The command gets a `ConfigSource` as its first argument.

    Parameters
    ----------
    *names : str
        Of the options that stand for one key each, in the order of the help.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(path: Path | None, settings: tuple[str, ...], **options: Any) -> Any:
            values = {name: options.pop(name) for name in names}
            given = [
                _KEY_OPTIONS[name].setting(value)
                for name, value in values.items()
                if value is not None
            ]
            return command(ConfigSource(path, (*settings, *given)), **options)

        decorators: list[Callable[[Command], Command]] = [_config_option, _set_option]
        decorators += [_KEY_OPTIONS[name].decorator(name) for name in names]
        decorated: Command = run
        for option in reversed(decorators):
            decorated = option(decorated)
        return decorated

    return decorate


def values_of(section: str, key: str) -> Choice:
    """Return a parameter type that takes the words of a key of the configuration."""
    return Choice(_words(_section(section), key))


def _complete_setting(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete ``SECTION.KEY=VALUE``: the keys of the schema, and the words that a key takes."""
    name, equals, _value = incomplete.partition("=")
    if not equals:
        return [CompletionItem(each) for each in _all_keys() if each.startswith(incomplete)]
    section, _dot, key = name.partition(".")
    if section not in Config.model_fields or key not in _section(section).model_fields:
        return []
    settings = (f"{name}={word}" for word in _words(_section(section), key))
    return [CompletionItem(each) for each in settings if each.startswith(incomplete)]


def _all_keys() -> Iterator[str]:
    for section in Config.model_fields:
        yield from (f"{section}.{key}=" for key in _section(section).model_fields)


def _section(name: str) -> type[BaseModel]:
    section: type[BaseModel] = type(getattr(Config(), name))
    return section


def _words(section: type[BaseModel], key: str) -> list[str]:
    """Return the words of a Literal; of other types there are none."""
    values = get_args(section.model_fields[key].annotation)
    return [str(value) for value in values if isinstance(value, str | int)]


_config_option = click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration file; by default your own, if you have one.",
)

_set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    shell_complete=_complete_setting,
    help="Override one key of the configuration; may be repeated.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
