"""What is kept from one run to the next, where the configuration asks for it."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.mixer import Strip
from stemd.daemon.ports import StemName
from stemd.daemon.scheduling import have_steering_priority
from stemd.tflite_models.files import read_ordinary, write_whole

log = logging.getLogger(__name__)

MOST_BYTES = 1 << 18
"""Of the file; a longer one is something else."""


class Kept(BaseModel):
    """The mixer, and the MIDI controllers that were learned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strips: dict[StemName, Strip] = {}
    bypass: bool = False
    bindings: tuple[Binding, ...] = ()


class Keeper:
    """Keeps it in a file, or nowhere.

    It is written on a thread of its own, for a card or a disk may take long.

    Parameters
    ----------
    path : Path or None
        None: nowhere.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._last: Kept | None = None
        self._writer = ThreadPoolExecutor(1, "stemd-keeper", have_steering_priority)
        self._writing: Future[bool] = Future()
        self._writing.set_result(True)

    def recall(self) -> Kept:
        """Read what was kept; nothing, if it cannot be read, and then it is not written over."""
        if self._path is None:
            return Kept()
        try:
            self._last = Kept.model_validate_json(read_ordinary(self._path, MOST_BYTES))
        except FileNotFoundError:
            self._last = Kept()
        except OSError as error:
            log.warning(
                "the state file %s cannot be read: %s; nothing is kept this time",
                self._path,
                error.strerror,
            )
            self._path = None
        except ValidationError:
            self._put_aside(self._path)
        return self._last or Kept()

    def keep(self, what: Kept) -> "Future[bool]":
        """Write it, whole or not at all, if it is something else than before (main thread).

        Returns
        -------
        Future
            Whether that is kept, or, where the last writing is under way, what that comes to.
        """
        if self._path and self._writing.done() and what != self._last:
            self._writing = self._writer.submit(self._write, self._path, what)
        return self._writing

    def close(self, what: Kept) -> None:
        """Keep the last (main thread)."""
        self._writing.result()
        self.keep(what)
        self._writer.shutdown()

    def _write(self, path: Path, what: Kept) -> bool:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, what.model_dump_json(exclude_defaults=True).encode())
        except OSError as error:
            log.warning("cannot keep the state in %s: %s", path, error.strerror)
            return False
        self._last = what
        return True

    def _put_aside(self, path: Path) -> None:
        aside = path.with_name(f"{path.name}.damaged")
        log.warning("the state file %s is damaged: it is now %s", path, aside)
        try:
            path.replace(aside)
        except OSError:
            self._path = None
