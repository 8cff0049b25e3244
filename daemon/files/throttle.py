"""Progress that is reported only now and then."""

from collections.abc import Callable
from time import monotonic

PROGRESS_S = 0.2


def throttled(tell: Callable[[int, int], object]) -> Callable[[int, int], None]:
    """Return a function that passes on its arguments at most every `PROGRESS_S`."""
    last = monotonic()

    def on_progress(done: int, whole: int) -> None:
        nonlocal last
        if (now := monotonic()) - last >= PROGRESS_S:
            last = now
            tell(done, whole)

    return on_progress
