"""The schemes that have a name."""

from collections.abc import Mapping

from stemd.dsp.scheme import Scheme

PRESETS: dict[str, tuple[Scheme, ...]] = {
    "seed": (Scheme(T=128, B=128, A=0),),
    "studio": (Scheme(T=128, B=16, A=16),),
    "balanced": (Scheme(T=64, B=4, A=8),),
    "live": (
        Scheme(T=64, B=1, A=1, mirror=8),
        Scheme(T=64, B=2, A=1, mirror=8),
        Scheme(T=64, B=3, A=0, mirror=8),
    ),
}
"""Schemes by name. Of several, the shortest delay first, the daemon takes the first that the
machine holds."""
PRESETS["auto"] = tuple(scheme for schemes in reversed(PRESETS.values()) for scheme in schemes)


def fitting_schemes(preset: str, by_hand: Mapping[str, int]) -> tuple[Scheme, ...]:
    """Return a preset's schemes with some of their numbers replaced, the shortest delay first.

    Those that the numbers do not fit are left out.

    Raises
    ------
    ValueError
        None is left.
    """
    schemes, misfits = set(), []
    for scheme in PRESETS[preset]:
        try:
            schemes.add(Scheme(*{**scheme.numbers, **by_hand}.values()))
        except ValueError as error:
            misfits.append(error)
    if not schemes:
        raise misfits[0]
    return tuple(sorted(schemes, key=lambda scheme: (scheme.delay, scheme.B)))
