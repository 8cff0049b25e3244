"""Finds the set of networks that the configuration asks for, without loading it or NumPy."""

from collections.abc import Sequence
from typing import Literal

from stemd.daemon.errors import ConfigError
from stemd.daemon.ports import REST, STEMS
from stemd.daemon.work import AUTO, SetOfNetworks, Work
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.store.library import Library, Listing
from stemd.tflite_models.store.sets import ModelSet

FOUR, TWO = "4stems", "2stems"
"""The sets that auto stands for."""


def choose_networks(networks: str, stems: Literal["auto"] | int = "auto") -> SetOfNetworks:
    """Return the set of networks that the configuration asks for; no file is checked.

    Parameters
    ----------
    networks : str
        The set's name, or auto: by the number of stems.
    stems : int or "auto"
        Of the sets with so many stems an official one is preferred. auto: four where the official
        networks are installed, else two. The bundled four separate worse, and four take twice the
        time of two: they are used where the user asks for them.

    Raises
    ------
    ConfigError
        If they are not here, or separate stems that have no ports.
    ModelError
        If they are damaged, or the user's folders cannot be looked into.
    """
    library = Library()
    lines = library.list()
    name = _name_by_stems(lines, stems) if networks == AUTO else networks
    here = next((line for line in lines if line.name == name and line.stems and line.origin), None)
    found = here or _find_explained(library, name, lines)
    known = [stem for stem in STEMS if stem != REST]
    if unknown := [stem for stem in found.stems if stem not in known]:
        raise ConfigError(
            f"the {name} networks separate {', '.join(unknown)}, for which stemd has no ports; "
            f"choose networks that separate only {', '.join(known)}"
        )
    return SetOfNetworks(name, found.stems, found.masks, found.family)


def refuse_without_residual(work: Work) -> None:
    """Raise an error if a network is left out that the others need.

    Raises
    ------
    ConfigError
    """
    if work.has_residual and work.networks.masks == "softmax":
        remedy = "only to []" if work.networks.has_rest else "residual to false"
        raise ConfigError(
            f"the {work.networks.name} networks have no residual: their masks need every stem's "
            f"network; set separation.{remedy}"
        )


def find_networks(name: str, deep: bool = True) -> ModelSet:
    """Return the set of networks with this name, every file checked; see `Library.find`.

    Raises
    ------
    ModelError
        If it is unknown, not here, or damaged.
    """
    return Library().find(name, deep)


def _find_explained(library: Library, name: str, lines: Sequence[Listing]) -> ModelSet:
    """Return a set that is not listed with its stems; the error says why there is none."""
    try:
        return library.find(name)
    except ModelError as error:
        if any(line.name == name and line.origin for line in lines):  # it is damaged
            raise
        raise ConfigError(str(error)) from None


def _name_by_stems(lines: Sequence[Listing], stems: Literal["auto"] | int) -> str:
    """Return the name of the set that a number of stems stands for, here or not."""
    if stems == AUTO:
        return FOUR if any(line.name == FOUR and line.origin for line in lines) else TWO
    fitting = [line for line in lines if len(line.stems) == stems]
    fitting.sort(key=lambda line: line.origin is None)  # a stable sort: else the official first
    if not fitting:
        known = dict.fromkeys(f"{line.name} ({len(line.stems)})" for line in lines)
        raise ConfigError(f"there are no networks of {stems} stems; known are {', '.join(known)}")
    return fitting[0].name
