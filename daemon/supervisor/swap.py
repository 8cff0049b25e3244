"""The state machine of the swap from one separation to the next: phases, steps and signs."""

from collections.abc import Mapping
from enum import Flag, IntEnum, StrEnum, auto
from types import MappingProxyType


class Phase(StrEnum):
    """How far a session is in the swap from one separation to the next."""

    STEADY = "steady"
    """One separation plays, and there is no next one."""
    LOADING = "loading"
    """The separation that played has failed, or does not fit the server. A helper thread ends its
    threads and loads other networks if it needs some. The dry signal is heard."""
    PAUSING = "pausing"
    """The networks could not be loaded; the next attempt comes later. The dry signal is heard."""
    WARMING = "warming"
    """The next separation processes the music, but is not heard, to show that it keeps up."""
    FADING = "fading"
    """The next separation takes over by a cross-fade as soon as it is warm."""
    WITHDRAWING = "withdrawing"
    """The next separation has failed; the server's thread has yet to release it."""
    RETIRING = "retiring"
    """A helper thread ends the threads of the separation that is not needed any more."""


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
"""The phase that follows each phase after a step; no other steps are possible."""


def after(phase: Phase, step: Step) -> Phase:
    """Return the phase that follows; `KeyError` where none does."""
    return TRANSITIONS[phase, step]


class Sign(Flag):
    """What the swapper has noticed when it decides on the next step."""

    NONE = 0
    WANTED = auto()
    """Another setup is wanted."""
    NEEDED = auto()
    """What plays must be replaced: see `Need`."""
    UNFIT = auto()
    """What plays does not fit the server any more."""
    DONE = auto()
    """The helper thread has finished, successfully or not."""
    RESTED = auto()
    """It is time for the next attempt to load the networks."""
    COMING_FAILED = auto()
    """The next separation has failed."""
    COMING_UNFIT = auto()
    """The next separation does not fit the server any more, or was ended."""
    COMING_READY = auto()
    """The next separation can take over."""
    COMING_LATE = auto()
    """The next separation has been late for too long."""
    SWAPPED = auto()
    """The server's thread plays only the next separation now."""
    WITHDRAWN = auto()
    """The server's thread has released the next separation."""
    SUSPENDED = auto()
    """The server has stopped calling, so its thread releases nothing."""


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
    """Return the sign that counts, and its step; None if there is no step to make."""
    return next(((sign, step) for sign, step in LEADS[phase] if sign in signs), None)


class Need(IntEnum):
    """What must be replaced of what plays; each includes the one before."""

    NOTHING = 0
    SEPARATION = 1
    """The separation was ended or withdrawn, or another setup is to play."""
    NETWORKS = 2
    """Its networks may have failed, and must be loaded again."""
