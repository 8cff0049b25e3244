"""From one separation to the next: the phases, and what leads from one to another."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Phase(StrEnum):
    """How far a session is on its way from one separation to the next."""

    STEADY = "steady"
    """One plays, and no other is on its way."""
    LOADING = "loading"
    """The one that played has failed, or does not fit the server: its threads are ended, and
    networks are loaded where it takes others, on another thread. The dry signal is heard."""
    PAUSING = "pausing"
    """The networks could not be loaded; they will be loaded again. The dry signal is heard."""
    WARMING = "warming"
    """Another one hears the music, unheard, and is judged; the one that plays is untouched."""
    FADING = "fading"
    """Another one is to play, and takes over by a cross-fade as soon as it is warm."""
    WITHDRAWING = "withdrawing"
    """The other one has failed, and the server's thread is to let it go."""
    RETIRING = "retiring"
    """The threads of the one that is not needed any more are ended, on another thread."""


class Step(StrEnum):
    """What leads from one phase to the next."""

    LOAD = "load"
    LOADED = "loaded"
    FAILED = "failed"
    TRY = "try"
    ADMIT = "admit"
    WITHDRAW = "withdraw"
    SWAPPED = "swapped"
    WITHDRAWN = "withdrawn"
    ENDED = "ended"


TRANSITIONS: Mapping[tuple[Phase, Step], Phase] = MappingProxyType(
    {
        (Phase.STEADY, Step.LOAD): Phase.LOADING,
        (Phase.STEADY, Step.TRY): Phase.WARMING,
        (Phase.LOADING, Step.LOADED): Phase.FADING,
        (Phase.LOADING, Step.FAILED): Phase.PAUSING,
        (Phase.PAUSING, Step.LOAD): Phase.LOADING,
        (Phase.PAUSING, Step.TRY): Phase.WARMING,
        (Phase.WARMING, Step.ADMIT): Phase.FADING,
        (Phase.WARMING, Step.WITHDRAW): Phase.WITHDRAWING,
        (Phase.FADING, Step.SWAPPED): Phase.RETIRING,
        (Phase.FADING, Step.WITHDRAW): Phase.WITHDRAWING,
        (Phase.WITHDRAWING, Step.WITHDRAWN): Phase.RETIRING,
        (Phase.RETIRING, Step.ENDED): Phase.STEADY,
    }
)
"""All there are."""


def after(phase: Phase, step: Step) -> Phase:
    """Return the phase that follows; `KeyError` where none does."""
    return TRANSITIONS[phase, step]
