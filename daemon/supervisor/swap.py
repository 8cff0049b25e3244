"""The way from one separation to the next: phases, steps, and the signs that lead to a step."""

from collections.abc import Mapping
from enum import Flag, IntEnum, StrEnum, auto
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
    SETTLE = "settle"


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
        (Phase.FADING, Step.SETTLE): Phase.FADING,
        (Phase.WITHDRAWING, Step.WITHDRAWN): Phase.RETIRING,
        (Phase.WITHDRAWING, Step.SETTLE): Phase.WITHDRAWING,
        (Phase.RETIRING, Step.ENDED): Phase.STEADY,
    }
)
"""All there are."""


def after(phase: Phase, step: Step) -> Phase:
    """Return the phase that follows; `KeyError` where none does."""
    return TRANSITIONS[phase, step]


class Sign(Flag):
    """What a session sees when it looks whether a step is to be made."""

    NONE = 0
    WANTED = auto()
    """Another setup is wanted."""
    NEEDED = auto()
    """What plays must be replaced: see `Need`."""
    UNFIT = auto()
    """What plays does not fit the server any more."""
    DONE = auto()
    """The other thread has done its work, or failed to."""
    RESTED = auto()
    """It is time to load networks again that could not be loaded."""
    COMING_FAILED = auto()
    """The separation that comes has failed."""
    COMING_UNFIT = auto()
    """It does not fit the server any more, or was ended."""
    COMING_READY = auto()
    """It can take over."""
    COMING_LATE = auto()
    """It has been late for too long."""
    SWAPPED = auto()
    """The server's thread plays it alone."""
    WITHDRAWN = auto()
    """The server's thread has let it go."""
    SUSPENDED = auto()
    """The server has stopped calling, so its thread lets go of nothing."""


LEADS: Mapping[Phase, tuple[tuple[Sign, Step], ...]] = MappingProxyType(
    {
        Phase.STEADY: (
            (Sign.WANTED, Step.TRY),
            (Sign.NEEDED, Step.LOAD),
            (Sign.UNFIT, Step.LOAD),
        ),
        Phase.LOADING: ((Sign.DONE, Step.LOADED),),
        Phase.PAUSING: (
            (Sign.WANTED, Step.TRY),
            (Sign.RESTED, Step.LOAD),
        ),
        Phase.WARMING: (
            (Sign.COMING_FAILED, Step.WITHDRAW),
            (Sign.COMING_UNFIT, Step.WITHDRAW),
            (Sign.SUSPENDED, Step.ADMIT),
            (Sign.COMING_READY, Step.ADMIT),
            (Sign.COMING_LATE, Step.WITHDRAW),
        ),
        Phase.FADING: (
            (Sign.SWAPPED, Step.SWAPPED),
            (Sign.COMING_FAILED, Step.WITHDRAW),
            (Sign.COMING_UNFIT, Step.WITHDRAW),
            (Sign.SUSPENDED, Step.SETTLE),
        ),
        Phase.WITHDRAWING: (
            (Sign.WITHDRAWN, Step.WITHDRAWN),
            (Sign.SUSPENDED, Step.SETTLE),
        ),
        Phase.RETIRING: ((Sign.DONE, Step.ENDED),),
    }
)
"""In each phase, the signs that lead to a step; the first that is seen counts."""


def lead(phase: Phase, signs: Sign) -> tuple[Sign, Step] | None:
    """Return the sign that counts, and the step that it leads to; None where all stays."""
    return next(((sign, step) for sign, step in LEADS[phase] if sign in signs), None)


class Need(IntEnum):
    """What must be replaced of what plays; each includes the one before."""

    NOTHING = 0
    SEPARATION = 1
    """It was ended, was withdrawn, or is not what is to play."""
    NETWORKS = 2
    """Its networks may have failed, and must be loaded anew."""
