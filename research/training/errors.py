"""What a user of the training can mend, and how it is told."""

import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool

from soundfile import LibsndfileError

from research.material.voices import MaterialError
from stemd.tflite_models.errors import ModelError

INTERRUPTED = 130
"""The exit code that a shell gives to what SIGINT ended."""


class TrainingError(Exception):
    """A run cannot go on, or cannot be used; the message says what to do."""


def tell(name: str, main: Callable[[], None]) -> None:
    """Run a program, and end it with a line where it fails of what its user can mend."""
    try:
        main()
    except BrokenProcessPool:
        sys.exit(
            f"{name}: one of its processes was killed, as for want of memory; started again, it "
            "goes on where it was"
        )
    except (MaterialError, ModelError, TrainingError, OSError, LibsndfileError) as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        print(f"{name}: interrupted; started again, it goes on where it was", file=sys.stderr)
        sys.exit(INTERRUPTED)
