"""When the delay may become shorter."""

SHORTER_AFTER_S = 30.0
"""For how long the delay must have had room for longer periods than there are before it gets
shorter: programs that come and go change PipeWire's periods."""


class Room:
    """Measures for how long the delay has had room for longer periods than there are.

    Attributes
    ----------
    can_shorten : bool
        Whether it has been so for long enough.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self.can_shorten = False

    def look(self, has_room: bool, now: float) -> None:
        """Note whether the delay has room, at a moment of a monotonic clock."""
        if not has_room:
            self.restart()
            return
        self._since = now if self._since is None else self._since
        self.can_shorten = now - self._since >= SHORTER_AFTER_S

    def restart(self) -> None:
        """Begin to measure anew."""
        self._since, self.can_shorten = None, False
