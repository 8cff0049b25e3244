"""The schemes that have a name."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Literal, TypeAlias

from stemd.dsp.scheme import Grid, Scheme

PresetName: TypeAlias = Literal["seed", "studio", "balanced", "live", "auto"]
"""The names that the configuration accepts: those of `PRESETS`."""

LONG_T = 128
"""Spectra of the longer window: at the same delay most songs lose less, for 1.5 times the work."""

SHORTEST_WINDOWS: dict[str, tuple[Scheme, ...]] = {
    "seed": (Scheme(T=128, B=128, A=0),),
    "studio": (Scheme(T=128, B=16, A=16),),
    "balanced": (Scheme(T=64, B=4, A=8),),
    "live": (
        Scheme(T=64, B=1, A=1, mirror=8),
        Scheme(T=64, B=2, A=1, mirror=8),
        Scheme(T=64, B=3, A=0, mirror=8),
    ),
}
"""Presets from the longest delay to the shortest; of each scheme the one that needs least CPU."""


def _with_long_windows(schemes: Iterable[Scheme]) -> Iterator[Scheme]:
    """Yield each scheme, and before it the same with the longer window."""
    for scheme in schemes:
        if scheme.T < LONG_T:
            yield replace(scheme, T=LONG_T)
        yield scheme


_PRESETS = {name: tuple(_with_long_windows(schemes)) for name, schemes in SHORTEST_WINDOWS.items()}

PRESETS: dict[str, tuple[Scheme, ...]] = {
    **_PRESETS,
    "auto": tuple(chain.from_iterable(reversed(_PRESETS.values()))),
}
"""The schemes of each preset, the shortest delay first, and of one delay the longer window first:
the daemon takes the first one for which the machine is fast enough. ``auto`` has the schemes of all
others. They count spectra; `fitting_schemes` puts them on the networks' grid."""

UNMEASURED = tuple(
    name for name, schemes in reversed(SHORTEST_WINDOWS.items()) if len(schemes) == 1
)
"""Presets of one delay: the machine is not measured, the window is chosen by estimate."""


def fitting_schemes(preset: str, by_hand: Mapping[str, int], grid: Grid) -> tuple[Scheme, ...]:
    """Return a preset's schemes on a grid, the shortest delay first, then the longest window.

    Parameters
    ----------
    preset : str
    by_hand : mapping of str to int
        Numbers of spectra that replace those of every scheme.
    grid : Grid
        Of the networks.

    Returns
    -------
    tuple of Scheme
        Without those that the numbers or the grid do not fit.

    Raises
    ------
    ValueError
        The numbers fit none of the schemes.
    """
    schemes, misfits = set(), []
    for scheme in PRESETS[preset]:
        try:
            schemes.add(replace(scheme, grid=grid, **by_hand))
        except ValueError as error:
            misfits.append(error)
    if not schemes:
        raise misfits[0]
    return tuple(sorted(schemes, key=lambda scheme: (scheme.delay, scheme.B, -scheme.T)))
