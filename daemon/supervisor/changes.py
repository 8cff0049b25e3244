"""A change to another setup: what is wanted, and how it ended."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from stemd.daemon.engine.networks import LoadedNetworks
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import Scheme


class SessionOverError(Exception):
    """The session ended before it was decided whether another setup takes over."""


@dataclass(frozen=True)
class Setup:
    """What is to play."""

    networks: LoadedNetworks
    scheme: Scheme
    extension: MaskExtension
    longest_period: int
    """Frames of the longest period for which the delay is to have room."""


class Change:
    """Another setup that is to take over: as a whole, or not at all (main thread).

    It is wanted, then admitted or refused, and has ended once nothing is left of what plays no
    more. Any thread may wait for the futures.

    Parameters
    ----------
    setup : Setup
        Nothing else uses its networks.
    commit : callable
        Called as soon as the change is certain, just before anything of it is heard.

    Attributes
    ----------
    is_decided : bool
        Whether it was admitted or refused.
    done : Future
        Has a result when nothing else is heard any more. A `StemdError`: nothing is changed.
        `SessionOverError`: nothing is decided.
    ended : Future
        Has a result when what plays no more is out of memory, too.
    """

    def __init__(self, setup: Setup, commit: Callable[[], None] = lambda: None) -> None:
        self.setup = setup
        self.is_decided = False
        self.done: Future[None] = Future()
        self.ended: Future[None] = Future()
        self._commit = commit

    @classmethod
    def made(cls, setup: Setup) -> "Change":
        """Return a change that has ended, because it needed no other separation."""
        change = cls(setup)
        change.is_decided = True
        change.end()
        return change

    def admit(self) -> None:
        """Decide that the setup takes over: from now on it cannot be refused."""
        self._commit()
        self.is_decided = True

    def refuse(self, error: Exception) -> None:
        """Change nothing, unless it is decided."""
        if not self.is_decided:
            self.is_decided = True
            self.done.set_exception(error)

    def resolve(self) -> None:
        """Answer that nothing else is heard any more, if it was admitted."""
        if self.is_decided and not self.done.done():
            self.done.set_result(None)

    def end(self) -> None:
        """Answer that nothing is left of what plays no more."""
        self.resolve()
        self.ended.set_result(None)
