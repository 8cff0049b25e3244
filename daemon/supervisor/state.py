"""What the daemon is doing, in one word."""

from enum import StrEnum


class State(StrEnum):
    """What the daemon is doing."""

    LOADING = "loading"
    """The networks are being loaded; there are no ports yet."""
    WAITING = "waiting"
    """No server answers."""
    SILENT = "silent"
    """The server does not call: it is stopped, or suspended for want of connections."""
    PLAYING = "playing"
    """The stems are heard."""
    OVERLOADED = "overloaded"
    """The networks do not keep up: the dry signal is heard."""
    RECOVERING = "recovering"
    """The engine failed, or did not fit the server: the dry signal is heard until the next one is
    warm."""
    BYPASSED = "bypassed"
    """The dry signal is heard because bypass is on."""


TRANSITION = {"is_transition": True}
"""``extra`` of records in the log that say what is from now on; see `logs.RepeatFilter`."""
