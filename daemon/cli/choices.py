"""Parameters of the commands that have only some values: completed, and suggested when misspelt."""

from collections.abc import Iterator
from math import isnan
from typing import Any, get_args

import click
from click.shell_completion import CompletionItem
from pydantic import BaseModel

from stemd.daemon.config import ALIKE, Config
from stemd.daemon.wording import nearest


class Choice(click.Choice):  # type: ignore[type-arg] # generic since click 8.2 only
    """One of some words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take the word, or say which one was perhaps meant."""
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
        """Take the number; NaN lies within any bounds, for click."""
        seconds: float = super().convert(value, param, ctx)
        if isnan(seconds):
            self.fail(f"{value} is no number of seconds", param, ctx)
        return seconds


def values_of(section: str, key: str) -> Choice:
    """Return a parameter that takes the words of a key of the configuration."""
    return Choice(_words(_section(section), key))


def complete_setting(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete ``SECTION.KEY=VALUE``: the keys that there are, and the words that one takes."""
    name, equals, _value = incomplete.partition("=")
    if not equals:
        return [CompletionItem(each) for each in _settings() if each.startswith(incomplete)]
    section, _dot, key = name.partition(".")
    if section not in Config.model_fields or key not in _section(section).model_fields:
        return []
    settings = (f"{name}={word}" for word in _words(_section(section), key))
    return [CompletionItem(each) for each in settings if each.startswith(incomplete)]


def _settings() -> Iterator[str]:
    for section in Config.model_fields:
        yield from (f"{section}.{key}=" for key in _section(section).model_fields)


def _section(name: str) -> type[BaseModel]:
    section: type[BaseModel] = type(getattr(Config(), name))
    return section


def _words(section: type[BaseModel], key: str) -> list[str]:
    """Return the words of a Literal; of other types there are none."""
    values = get_args(section.model_fields[key].annotation)
    return [str(value) for value in values if isinstance(value, str | int)]
