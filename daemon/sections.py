"""What every section of the configuration has in common, and when a key of it takes effect."""

from enum import Enum
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Effect(Enum):
    """When a key that a reload finds changed takes effect; it stands in the key's annotation."""

    AT_ONCE = "at once"
    BY_CROSS_FADE = "after a cross-fade to other networks"
    AT_START = "at the next start"


class Section(BaseModel):
    """A section: it never changes, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

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


def is_one_line(text: str) -> str:
    """Return a text of printable characters; ValueError if it has others."""
    if not text.isprintable():
        raise ValueError(f"must be of characters that can be printed (got {text!r})")
    return text


Port: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=65_535)]
"""The number of a UDP or TCP port."""

Host: TypeAlias = Annotated[str, Field(min_length=1), AfterValidator(is_one_line)]
"""The name or address of an interface of the network."""
