"""When the delay may become shorter."""

SHORTER_AFTER_S = 30.0
"""For how long the delay must have had room for longer periods than there are before it gets
shorter: programs that come and go change PipeWire's periods."""


MOST_S = 3600.0
"""The longest wait between two attempts."""


class Room:
    """Measures for how long the delay has had room for longer periods than there are.

    Each attempt to shorten the delay takes a second set of networks, which not every machine holds
    beside the first. So the wait doubles with each attempt, until the delay has no room any more.

    Attributes
    ----------
    can_shorten : bool
        Whether it has been so for long enough.
    """

    def __init__(self) -> None:
        self.can_shorten = False
        self._since: float | None = None
        self._wait_s = SHORTER_AFTER_S

    def look(self, has_room: bool, is_steady: bool, now: float) -> None:
        """Note whether the delay has room.

        Parameters
        ----------
        has_room : bool
        is_steady : bool
            Nothing is changing.
        now : float
            Seconds of a monotonic clock.
        """
        if not has_room:
            self._wait_s = SHORTER_AFTER_S
        if not (has_room and is_steady):
            self._restart()
            return
        self._since = now if self._since is None else self._since
        self.can_shorten = now - self._since >= self._wait_s

    def attempt(self) -> None:
        """Note that the delay is being shortened, which may fail."""
        self._wait_s = min(2 * self._wait_s, MOST_S)
        self._restart()

    def _restart(self) -> None:
        self._since, self.can_shorten = None, False
