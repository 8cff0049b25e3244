"""Reads the configuration: every error in it is one line, with what was perhaps meant."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from platformdirs import user_config_path
from pydantic import BaseModel, ValidationError

from stemd.daemon.config import Config, SeparationSection
from stemd.daemon.errors import ConfigError
from stemd.daemon.validation_errors import UNKNOWN_KEY, in_words
from stemd.daemon.wording import named, nearest, shown
from stemd.daemon.yaml_text import read_yaml
from stemd.tflite_models.files import broken_link, read_ordinary

ALIKE = 0.8
"""How much a wrong value must be like the one that is suggested: int4 was not meant as int8."""

MOST_ERRORS = 50
"""Lines of errors in one message; the others are reported once these are corrected."""

MOST_BYTES = 1 << 16
"""Of a configuration file; a longer one is something else, and would take seconds to read."""


def existing_default_path() -> Path | None:
    """Return the user's own configuration file, where there is one.

    Raises
    ------
    ConfigError
        The user's folder cannot be read, is a link that leads nowhere, or there is no home folder.
    """
    try:
        path = user_config_path("stemd") / "config.yaml"
        path.stat()
    except FileNotFoundError:
        if not (broken := broken_link(path)):
            return None
        raise ConfigError(
            f"cannot read the configuration {path}: {broken}; put it there, or remove the link"
        ) from None
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home
        raise ConfigError(
            f"cannot look for the configuration: {error}; name one (-c), or set HOME or "
            "XDG_CONFIG_HOME"
        ) from None
    return path


def load_config(path: Path | None, settings: Iterable[str] = ()) -> Config:
    """Read and check the configuration.

    What it leaves to the machine is as the defaults say: see `capacity.profiles.completed`.

    Parameters
    ----------
    path : Path, optional
        Of the file; without it, the user's own file, where there is one.
    settings : iterable of str
        ``section.key=value``, which win over the file.

    Raises
    ------
    ConfigError
        With every error in it, a line each.
    """
    path = path or existing_default_path()
    data = _read(path) if path else {}
    for setting in settings:
        _apply(setting, data)
    origin = f"the configuration {path}" if path else "the configuration of this call"
    return validated(data, origin)


def validated(data: Mapping[str, Any], origin: str) -> Config:
    """Return the configuration that sections and keys make up.

    Parameters
    ----------
    data : mapping
    origin : str
        Names the configuration in the error.

    Raises
    ------
    ConfigError
        With every error in it, a line each.
    """
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        lines = [_explain(details) for details in error.errors()]
        rest = len(lines) - MOST_ERRORS
        more = [f"and {rest} more"] if rest > 0 else []
        raise ConfigError(f"{origin} is wrong:", *lines[:MOST_ERRORS], *more) from None
    except (RecursionError, OverflowError) as error:  # of a pattern
        raise ConfigError(f"{origin} is wrong: a pattern is too long: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    what = f"the configuration {path}"
    try:
        content = read_ordinary(path, MOST_BYTES)
    except OSError as error:
        raise ConfigError(f"cannot read {what}: {error.strerror}") from None
    data = read_yaml(content, what)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{what} must be sections with keys (got {shown(data)})")
    return data


def _apply(setting: str, data: dict[str, Any]) -> None:
    """Put ``section.key=value`` into the data as if it stood in the file."""
    keys, equals, value = setting.partition("=")
    section, _, key = keys.partition(".")
    if not (equals and section and key) or "." in key:
        raise ConfigError(
            f"--set wants section.key=value (got {setting!r}); a key of several values takes "
            "them in braces: --set 'jack.autoconnect={in_L: pattern}'"
        )
    if data.get(section) is None:
        data[section] = {}
    if not isinstance(data[section], dict):
        raise ConfigError(f"{section}: must be a section with keys (got {shown(data[section])})")
    data[section][key] = read_yaml(value, f"the value of --set {keys}, {shown(value)},")


def _explain(details: Mapping[str, Any]) -> str:
    """Write one of pydantic's errors as ``section.key: rule (got …)``."""
    location = [part for part in details["loc"] if part != "[key]"]
    where = ".".join(map(named, location))
    model = _model_of(location)
    if details["type"] in UNKNOWN_KEY:
        return f"{where}: {in_words(details)}{_suggest_key(location[-1], model)}"
    field = model.model_fields.get(str(location[-1])) if location else None
    message = in_words(details, or_null=bool(field and NoneType in get_args(field.annotation)))
    key, must, rule = message.partition(" must ")
    if key in SeparationSection.model_fields:
        return f"{where}.{key}:{must}{rule}"
    return f"{where}: {message}{_suggest_value(details)}"


def _model_of(location: Sequence[object]) -> type[BaseModel]:
    """Return the section, or the part of one, whose key is the last of a location."""
    model: type[BaseModel] = Config
    for name in location[:-1]:
        # A stem, or a number in a list, leads to what the list is of, where we are already.
        known = isinstance(name, str) and name in model.model_fields
        kind = model.model_fields[str(name)].annotation if known else model
        model = next((each for each in _types_in(kind) if issubclass(each, BaseModel)), model)
    return model


def _types_in(annotation: object) -> Iterator[type]:
    """Yield the types that an annotation is made of."""
    if isinstance(annotation, type):
        yield annotation
    for each in get_args(annotation):
        yield from _types_in(each)


def _suggest_key(given: object, model: type[BaseModel]) -> str:
    """Name the key that the unknown one was perhaps meant to be."""
    near = nearest(given, model.model_fields)
    return f"; did you mean {near}?" if near else f" (there are: {', '.join(model.model_fields)})"


def _suggest_value(details: Mapping[str, Any]) -> str:
    """Name the value that a wrong one was perhaps meant to be, where there are only some."""
    choices = re.findall(r"'([^']*)'", str(details.get("ctx", {}).get("expected", "")))
    near = nearest(details["input"], choices, ALIKE)
    return f"; did you mean {near}?" if near else ""
