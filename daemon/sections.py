"""What every section of the configuration has in common, and when a key of it takes effect."""

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class Effect(Enum):
    """When a key that a reload finds changed takes effect; it stands in the key's annotation."""

    AT_ONCE = "at once"
    BY_CROSS_FADE = "after a cross-fade to other networks"
    AT_START = "at the next start"


class Section(BaseModel):
    """A section: it never changes, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, data: Any) -> Any:
        """Leave out a section, mapping or list in which all is commented out: YAML has it null."""
        if not isinstance(data, Mapping):
            return data
        return {
            key: value for key, value in data.items() if value is not None or not cls._holds(key)
        }

    @classmethod
    def _holds(cls, key: object) -> bool:
        """Whether a key's value is a section, a mapping or a list."""
        field = cls.model_fields.get(key) if isinstance(key, str) else None
        default = field.get_default(call_default_factory=True) if field else None
        return isinstance(default, BaseModel | Mapping | tuple)

    @classmethod
    def effects(cls) -> dict[str, Effect]:
        """Return for each key when it takes effect.

        Raises
        ------
        StopIteration
            A key's annotation does not say it.
        """
        return {
            key: next(each for each in field.metadata if isinstance(each, Effect))
            for key, field in cls.model_fields.items()
        }


def or_empty(value: object) -> object:
    """Return an empty mapping for one in which all is commented out, which YAML reads as null."""
    return {} if value is None else value


def off_as_text(value: object) -> object:
    """Return ``off`` for false, which is how YAML reads that word."""
    return "off" if value is False else value


def is_absolute(path: str) -> str:
    """Return a path that leads to one place, whatever folder a program runs in; else ValueError."""
    if not path.startswith(("/", "~")):
        raise ValueError(f"must be an absolute path, from / or ~ on (got {path!r})")
    return path


def is_one_line(text: str) -> str:
    """Return a text of printable characters; ValueError if it has others."""
    if not text.isprintable():
        raise ValueError(f"must be of characters that can be printed (got {text!r})")
    return text


Port: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=65_535)]
"""The number of a UDP or TCP port."""

Host: TypeAlias = Annotated[str, Field(min_length=1), AfterValidator(is_one_line)]
"""The name or address of an interface of the network."""
