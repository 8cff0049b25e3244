"""The families of networks that stemd knows."""

from collections.abc import Callable
from typing import Any

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.family import Family, Release


def _spleeter() -> Family[Any]:
    from stemd.tflite_models.spleeter.family import FAMILY

    return FAMILY


DEFAULT_FAMILY = "spleeter"
"""The family of sets whose manifest names none."""

FAMILIES: dict[str, Callable[[], Family[Any]]] = {DEFAULT_FAMILY: _spleeter}
"""What imports each family, by its name. Another one is another line here."""


def family_of(name: str) -> Family[Any]:
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
    return FAMILIES[name]()


def releases() -> dict[str, Release]:
    """Return the official sets of every family, by name."""
    return {name: each for load in FAMILIES.values() for name, each in load().releases.items()}
