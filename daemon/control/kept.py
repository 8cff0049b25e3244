"""What is kept from one run to the next, where the configuration asks for it."""

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.mixer import Strip
from stemd.daemon.ports import StemName
from stemd.tflite_models.files import write_whole

log = logging.getLogger(__name__)


class Kept(BaseModel):
    """The mixer, and the MIDI controllers that were learned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strips: dict[StemName, Strip] = {}
    bypass: bool = False
    bindings: tuple[Binding, ...] = ()


class Keeper:
    """Keeps it in a file, or nowhere (main thread).

    Parameters
    ----------
    path : Path or None
        None: nowhere.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._last: Kept | None = None

    def recall(self) -> Kept:
        """Read what was kept; nothing, if it cannot be read."""
        if self.path is None:
            return Kept()
        try:
            self._last = Kept.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return Kept()
        except (OSError, ValidationError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is damaged"
            log.warning("the state file %s is left out of account: %s", self.path, reason)
            return Kept()
        return self._last

    def keep(self, what: Kept) -> None:
        """Write it, whole or not at all, if it is something else than before."""
        if self.path is None or what == self._last:
            return
        self._last = what
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, what.model_dump_json(exclude_defaults=True).encode())
        except OSError as error:
            log.warning("cannot keep the state in %s: %s", self.path, error.strerror)
