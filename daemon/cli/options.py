"""Options and values that several commands take."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
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
from stemd.daemon.work import AUTO

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


class NamedPath(click.Path):
    """A path; none is "", which a shell gives for a variable that is not set."""

    def __init__(
        self, *, file_okay: bool = True, dir_okay: bool = True, readable: bool = True
    ) -> None:
        super().__init__(path_type=Path, file_okay=file_okay, dir_okay=dir_okay, readable=readable)

    def convert(
        self,
        value: "str | os.PathLike[str]",
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Return the path; without this rule "" would be the current folder."""
        if not os.fspath(value):
            self.fail("a path must not be empty: is a variable of the shell not set?", param, ctx)
        return super().convert(value, param, ctx)


class Words(click.ParamType):  # type: ignore[type-arg] # generic since click 8.2 only
    """One of some words that are looked up when they are needed.

    Parameters
    ----------
    name : str
        What they are, for the help.
    find : callable
        Returns the words.
    """

    def __init__(self, name: str, find: Callable[[], Sequence[str]]) -> None:
        self.name = name
        self.find = find

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the word; the error names the one that was perhaps meant."""
        return Choice(self.find()).convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the word."""
        return Choice(self.find()).shell_complete(ctx, param, incomplete)


def _names_of_networks() -> Sequence[str]:
    from stemd.tflite_models.store.library import Library

    return Library().names


def _numbers_of_stems() -> Sequence[str]:
    from stemd.tflite_models.families import releases

    return [AUTO, *sorted({str(len(each.stems)) for each in releases().values()})]


NETWORKS = Words("name", _names_of_networks)
"""A set of networks that is here, or can be installed."""

NUMBER_OF_STEMS = Words("number", _numbers_of_stems)
"""As many stems as the networks have that can be installed, or auto."""

WORDS_OF_KEYS = {"separation.networks": NETWORKS, "separation.stems": NUMBER_OF_STEMS}
"""Of the keys whose words are not in the schema."""


def refuse_both(networks: str | None, stems: str | None) -> None:
    """Raise `click.UsageError` where both options are given: each says which networks to use."""
    if networks and stems:
        raise click.UsageError("--networks and --stems exclude each other: give one")


class Seconds(click.FloatRange):
    """A number of seconds within bounds."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number; click itself finds NaN within any bounds."""
        seconds: float = super().convert(value, param, ctx)
        if isnan(seconds):
            self.fail(f"must be a number of seconds (got {value})", param, ctx)
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

    def read(self) -> Config:
        """Read the configuration.

        Raises
        ------
        ConfigError
            With every error in it, a line each.
        """
        return load_config(self.path, self.settings)

    def load(self) -> Config:
        """Read the configuration, and complete it for this machine.

        Raises
        ------
        ConfigError
            As `read`, or the keys do not fit those that the profile chooses.
        ModelError
            The networks that the profile chooses from cannot be read.
        """
        from stemd.daemon.capacity.profiles import completed

        return completed(self.read())

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
    resets: str | None = None
    """Another key, which is set to auto: it would say otherwise."""

    def decorator(self, name: str) -> Callable[[Command], Command]:
        kind = None if self.metavar else values_of(self.key)
        return click.option(
            f"--{name.replace('_', '-')}", name, type=kind, metavar=self.metavar, help=self.help
        )

    def settings(self, value: str) -> Iterator[str]:
        """Yield it as ``section.key=value``; text is quoted, whatever it looks like in YAML."""
        yield f"{self.key}={json.dumps(value) if self.metavar else value}"
        if self.resets:
            yield f"{self.resets}={AUTO}"


_KEY_OPTIONS = {
    "server": _KeyOption("jack.server", "The kind of audio server; overrides jack.server."),
    "server_name": _KeyOption(
        "jack.server_name",
        "Which of several servers: jackd's name (jackd -n), or the name of PipeWire's socket.",
        metavar="NAME",
    ),
    "device": _KeyOption(
        "jack.device",
        "On PipeWire, be a sound device (output), or separate whatever plays (all).",
    ),
    "networks": _KeyOption(
        "separation.networks",
        "The name of the set of networks; `stemd models list` shows the names.",
        resets="separation.stems",
    ),
    "stems": _KeyOption(
        "separation.stems",
        "How many stems; auto: 4 if Deezer's four-stem networks are installed, otherwise 2.",
        resets="separation.networks",
    ),
    "preset": _KeyOption(
        "separation.preset",
        "The delay: from the longest (seed, 6 s) to the shortest (live, 0.2 s).",
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
            refuse_both(values.get("networks"), values.get("stems"))
            given = [
                setting
                for name, value in values.items()
                if value is not None
                for setting in _KEY_OPTIONS[name].settings(value)
            ]
            return command(ConfigSource(path, (*settings, *given)), **options)

        decorators: list[Callable[[Command], Command]] = [_config_option, _set_option]
        decorators += [_KEY_OPTIONS[name].decorator(name) for name in names]
        decorated: Command = run
        for option in reversed(decorators):
            decorated = option(decorated)
        return decorated

    return decorate


def values_of(key: str) -> click.ParamType:  # type: ignore[type-arg] # as above
    """Return a parameter type that takes the words of a key, as ``section.key``."""
    section, _, name = key.partition(".")
    return WORDS_OF_KEYS.get(key) or Choice(_words(_section(section), name))


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
    later = WORDS_OF_KEYS.get(name)
    words = later.find() if later else _words(_section(section), key)
    settings = (f"{name}={word}" for word in words)
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
    type=NamedPath(dir_okay=False),
    help="The configuration file; by default your own (~/.config/stemd/config.yaml), if it exists.",
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
