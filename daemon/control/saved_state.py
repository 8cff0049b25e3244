"""What is kept from one run to the next, where the configuration asks for it."""

import json
import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, StrictBool, ValidationError

from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.known_keys import known, unknown
from stemd.daemon.control.lock_file import lock_beside
from stemd.daemon.control.mixer import Strip
from stemd.daemon.engine.scheduling import have_steering_priority
from stemd.daemon.ports import STEMS, StemName
from stemd.tflite_models.files import PRIVATE, read_ordinary, write_whole

log = logging.getLogger(__name__)

MOST_BYTES = 1 << 18
"""Of the file; a longer one is something else."""


class Kept(BaseModel):
    """The mixer, and the MIDI controllers that were learned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strips: dict[StemName, Strip] = {}
    bypass: bool = False
    bindings: tuple[Binding, ...] = ()


class _File(BaseModel):
    """What any version of stemd writes: objects may have more keys than this one knows."""

    model_config = ConfigDict(extra="allow")

    strips: dict[str, dict[str, Any]] = {}
    bypass: StrictBool = False
    bindings: list[dict[str, Any]] = []

    def understood(self) -> Kept:
        """Return what this version knows; ValidationError if a value of that is wrong."""
        strips = {stem: known(Strip, strip) for stem, strip in self.strips.items() if stem in STEMS}
        bindings = [binding for binding in map(_as_binding, self.bindings) if binding]
        return Kept.model_validate(
            {"strips": strips, "bypass": self.bypass, "bindings": tuple(bindings)}
        )

    def updated(self, what: Kept) -> dict[str, Any]:
        """Return what to write: what this version knows as it is now, the rest as it was."""
        data = {
            **(self.model_extra or {}),
            "strips": self._updated_strips(what),
            "bypass": what.bypass,
            "bindings": self._updated_bindings(what),
        }
        return {key: value for key, value in data.items() if value or key not in Kept.model_fields}

    def _updated_strips(self, what: Kept) -> dict[str, dict[str, Any]]:
        strips = {
            stem: rest
            for stem, strip in self.strips.items()
            if (rest := unknown(Strip, strip) if stem in STEMS else strip) or stem not in STEMS
        }
        for stem, strip in what.strips.items():  # one of defaults too: the configuration has others
            strips[stem] = {**strips.get(stem, {}), **strip.model_dump(exclude_defaults=True)}
        return strips

    def _updated_bindings(self, what: Kept) -> list[dict[str, Any]]:
        read = [(_as_binding(each), each) for each in self.bindings]
        more = {binding: unknown(Binding, each) for binding, each in read if binding}
        bindings = [
            {**more.get(each, {}), **each.model_dump(exclude_defaults=True)}
            for each in what.bindings
        ]
        return bindings + [each for binding, each in read if not binding]


def _as_binding(data: dict[str, Any]) -> Binding | None:
    """Return a binding; None for one of a kind that only a later version has."""
    try:
        return Binding.model_validate(known(Binding, data))
    except ValidationError:
        return None


class Keeper:
    """Keeps it in a file, or nowhere.

    It is written on a thread of its own, for a card or a disk may take long. What a later version
    has kept there beyond what this one knows stays there.

    Parameters
    ----------
    path : Path or None
        None: nowhere.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = -1
        self._file = _File()
        self._last: Kept | None = None
        self._writer = ThreadPoolExecutor(1, "stemd-keeper", have_steering_priority)
        self._writing: Future[str] = Future()
        self._writing.set_result("")

    def recall(self) -> Kept:
        """Read what was kept; nothing, if it cannot be read, and then it is not written over.

        Nor is it where another stemd saves there; the lock is held until `close`.
        """
        if self._path is None:
            return Kept()
        path = self._path
        self._claim(path)
        try:
            self._file = _File.model_validate_json(read_ordinary(path, MOST_BYTES))
            self._last = self._file.understood()
            json.dumps(self._file.updated(self._last))  # such as numbers of thousands of digits
        except FileNotFoundError:
            self._last = Kept()
        except OSError as error:
            self._keep_nowhere(f"the state file {path} cannot be read: {error.strerror or error}")
        except (ValueError, RecursionError):  # a ValidationError is a ValueError
            self._last, self._file = None, _File()
            if self._path:
                self._put_aside(path)
        return self._last or Kept()

    def keep(self, what: Kept, anew: bool = False) -> "Future[str]":
        """Write it, whole or not at all (main thread).

        Parameters
        ----------
        what : Kept
        anew : bool
            Also where it is what was written last.

        Returns
        -------
        Future
            Why it is not kept, nothing if it is; where the last writing is under way, of that one.
        """
        if self._path and self._writing.done() and (anew or what != self._last):
            self._writing = self._writer.submit(self._write, self._path, what)
        return self._writing

    def close(self, what: Kept) -> None:
        """Keep the last (main thread)."""
        self._writing.result()
        self.keep(what)
        self._writer.shutdown()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _write(self, path: Path, what: Kept) -> str:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(self._file.updated(what)).encode(), PRIVATE)
        except OSError as error:
            log.warning("cannot keep the state in %s: %s", path, error.strerror)
            return f"cannot keep the state in {path}: {error.strerror}"
        self._last = what
        return ""

    def _claim(self, path: Path) -> None:
        """Lock the file, so that of several daemons one alone writes it."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = lock_beside(path)
        except BlockingIOError:
            self._keep_nowhere(
                f"another stemd saves its state in {path}: name another file (control.state_file)"
            )
        except OSError as error:  # it may be writable later; some file systems have no locks
            log.debug("no lock beside %s: %s", path, error)

    def _put_aside(self, path: Path) -> None:
        aside = path.with_name(f"{path.name}.damaged")
        try:
            path.replace(aside)
        except OSError as error:
            self._keep_nowhere(
                f"the state file {path} is damaged, and cannot be renamed: {error.strerror}"
            )
        else:
            log.warning("the state file %s is damaged: it is now %s", path, aside)

    def _keep_nowhere(self, reason: str) -> None:
        log.warning("%s; nothing is kept this time", reason)
        self._path = None
        self._writing = Future()
        self._writing.set_result(reason)
