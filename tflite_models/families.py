"""The families of networks that stemd knows."""

from typing import Any

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.family import Family, Release
from stemd.tflite_models.spleeter.family import SPLEETER, SPLEETER_LIGHT

DEFAULT_FAMILY = SPLEETER.name
"""The family of sets whose manifest names none."""

FAMILIES: dict[str, Family[Any, Any]] = {each.name: each for each in (SPLEETER, SPLEETER_LIGHT)}
"""Each family, by its name. Add another one here."""


def family_of(name: str) -> Family[Any, Any]:
    """Return a family by its name.

    Raises
    ------
    ModelError
        There is none of this name.
    """
    if name not in FAMILIES:
        raise ModelError(
            f"there is no family of networks named {name!r}; known are {', '.join(FAMILIES)}: "
            "install the version of stemd that the networks were made for"
        )
    return FAMILIES[name]


def releases() -> dict[str, Release]:
    """Return the official sets of every family, by name."""
    return {name: each for family in FAMILIES.values() for name, each in family.releases.items()}
