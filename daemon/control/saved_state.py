"""The state that is saved for the next start, if ``control.state_file`` is set."""

import json
import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.known_keys import known, unknown
from stemd.daemon.control.lock_file import lock_beside
from stemd.daemon.control.mixer import Strip
from stemd.daemon.engine.scheduling import have_steering_priority
from stemd.daemon.ports import STEMS, StemName
from stemd.daemon.sound_device import DeviceMode
from stemd.tflite_models.files import PRIVATE, read_ordinary, write_whole

log = logging.getLogger(__name__)

_T = TypeVar("_T")

MOST_BYTES = 1 << 18
"""The most bytes of the file; a longer file has another content."""


class SavedState(BaseModel):
    """The mixer, the sound device, and the MIDI controllers that were learned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strips: dict[StemName, Strip] = {}
    bypass: bool = False
    device: DeviceMode | None = None
    bindings: tuple[Binding, ...] = ()


class _File:
    """The content of the file, which any version of stemd may have written.

    Keys and values that this version does not know are not used, and stay.

    Parameters
    ----------
    data : dict, optional
    """

    def __init__(self, data: dict[str, Any] | None = None) -> None:
        self._data = data or {}
        self.not_understood: list[str] = []
        """Keys that this version knows, but with values that it does not know."""
        self._strips: dict[str, Any] = self._value("strips", {})
        self._bypass: bool = self._value("bypass", False)
        self._device: str = self._value("device", "")
        if self._device not in ("", *get_args(DeviceMode)):
            self.not_understood.append("device")
            self._device = ""
        self._bindings: list[Any] = self._value("bindings", [])
        self._stays = set(self.not_understood)
        self._known_strips = {
            stem: self._usable(f"strips.{stem}", strip)
            for stem, strip in self._strips.items()
            if stem in STEMS
        }

    @classmethod
    def read(cls, text: bytes) -> "_File":
        """Read the content; ValueError or RecursionError if it is no JSON object."""
        data = json.loads(text)
        if not isinstance(data, dict):
            raise ValueError
        return cls(data)

    def _value(self, key: str, default: _T) -> _T:
        """Return the value of a key if it is of the default's type."""
        value = self._data.get(key, default)
        if type(value) is type(default):
            return value
        self.not_understood.append(key)
        return default

    def _usable(self, where: str, strip: Any) -> dict[str, Any]:
        """Return the part of a strip that this version understands."""
        if not isinstance(strip, dict):
            self.not_understood.append(where)
            return {}
        values = known(Strip, strip)
        try:
            Strip.model_validate(values)
        except ValidationError as error:
            wrong = {str(each["loc"][0]) for each in error.errors(include_input=False)}
            self.not_understood += [f"{where}.{key}" for key in sorted(wrong)]
            return {key: value for key, value in values.items() if key not in wrong}
        return values

    def understood(self) -> SavedState:
        """Return what this version knows."""
        bindings = [binding for binding in map(_as_binding, self._bindings) if binding]
        return SavedState.model_validate(
            {
                "strips": self._known_strips,
                "bypass": self._bypass,
                "device": self._device or None,
                "bindings": tuple(bindings),
            }
        )

    def updated(self, what: SavedState) -> dict[str, Any]:
        """Return what to write: what this version knows, and the rest unchanged."""
        data = dict(self._data)
        for key, value in (
            ("strips", self._updated_strips(what)),
            ("bypass", what.bypass),
            ("device", what.device),
            ("bindings", self._updated_bindings(what)),
        ):
            if value:
                data[key] = value
            elif key not in self._stays:
                data.pop(key, None)
        return data

    def _updated_strips(self, what: SavedState) -> dict[str, Any]:
        strips = {stem: self._rest_of(stem, strip) for stem, strip in self._strips.items()}
        strips = {stem: rest for stem, rest in strips.items() if rest or stem not in STEMS}
        for stem, strip in what.strips.items():  # one of defaults too: the configuration has others
            rest, now = strips.get(stem, {}), strip.model_dump(exclude_defaults=True)
            if now or isinstance(rest, dict):
                strips[stem] = {**(rest if isinstance(rest, dict) else {}), **now}
        return strips

    def _rest_of(self, stem: str, strip: Any) -> Any:
        """Return the part of a strip that this version does not use."""
        if stem not in STEMS or not isinstance(strip, dict):
            return strip
        return {key: each for key, each in strip.items() if key not in self._known_strips[stem]}

    def _updated_bindings(self, what: SavedState) -> list[Any]:
        read = [(_as_binding(each), each) for each in self._bindings]
        more = {binding: unknown(Binding, each) for binding, each in read if binding}
        bindings = [
            {**more.get(each, {}), **each.model_dump(exclude_defaults=True)}
            for each in what.bindings
        ]
        return bindings + [each for binding, each in read if not binding]


def _as_binding(data: Any) -> Binding | None:
    """Return a binding; None for a kind that only a later version knows."""
    if not isinstance(data, dict):
        return None
    try:
        return Binding.model_validate(known(Binding, data))
    except ValidationError:
        return None


def _target_of(path: Path) -> Path:
    """Return the path itself, or, where it is a link, where that leads to in the end."""
    return Path(os.path.realpath(path))


class StateFile:
    """A file in which the state is saved, or none.

    It is written on another thread, because a card or a disk may take long. Values of a later
    version that this one does not know stay in the file.

    Parameters
    ----------
    path : Path or None
        None: nothing is saved. If it is a link, its target is written, and the link stays.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = -1
        self._file = _File()
        self._last: SavedState | None = None
        self._writer = ThreadPoolExecutor(1, "stemd-state", have_steering_priority)
        self._writing: Future[str] = Future()
        self._writing.set_result("")

    def read(self) -> SavedState:
        """Return the saved state; an empty one if the file cannot be read.

        In that case, and if another stemd uses the file, it is not written. The lock is held until
        `close`.
        """
        if self._path is None:
            return SavedState()
        path = self._path
        self._claim(path)
        try:
            self._file = _File.read(read_ordinary(path, MOST_BYTES))
            self._last = self._file.understood()
        except FileNotFoundError:
            self._last = SavedState()
        except OSError as error:
            self._save_nowhere(f"the state file {path} cannot be read: {error.strerror or error}")
        except (ValueError, RecursionError):
            if self._path:
                self._put_aside(path)
        if self._file.not_understood:
            log.warning(
                "the state file %s holds values that this version of stemd does not understand: "
                "%s; the rest is used, and they stay in the file until you set them",
                path,
                ", ".join(self._file.not_understood),
            )
        return self._last or SavedState()

    def save(self, what: SavedState, again: bool = False) -> "Future[str]":
        """Write the whole state, or nothing (main thread).

        Parameters
        ----------
        what : SavedState
        again : bool
            Also if it was written the last time.

        Returns
        -------
        Future
            Why it is not saved, or an empty text; during a write, the result of that write.
        """
        if self._path and self._writing.done() and (again or what != self._last):
            self._writing = self._writer.submit(self._write, self._path, what)
        return self._writing

    def close(self, what: SavedState) -> None:
        """Save for the last time (main thread)."""
        self._writing.result()
        self.save(what)
        self._writer.shutdown()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _write(self, path: Path, what: SavedState) -> str:
        try:
            target = _target_of(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, json.dumps(self._file.updated(what)).encode(), PRIVATE)
        except OSError as error:
            log.warning("cannot save the state in %s: %s", path, error.strerror)
            return f"cannot save the state in {path}: {error.strerror}"
        self._last = what
        return ""

    def _claim(self, path: Path) -> None:
        """Lock the file, so that only one of several daemons writes it."""
        try:
            target = _target_of(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._lock = lock_beside(target)
        except BlockingIOError:
            self._save_nowhere(
                f"another stemd saves its state in {path}: name another file (control.state_file)"
            )
        except OSError as error:  # it may be writable later; some file systems have no locks
            log.debug("no lock beside %s: %s", path, error)

    def _put_aside(self, path: Path) -> None:
        target = _target_of(path)
        aside = target.with_name(f"{target.name}.damaged")
        try:
            target.replace(aside)
        except OSError as error:
            self._save_nowhere(
                f"the state file {path} is damaged, and cannot be renamed: {error.strerror}"
            )
        else:
            log.warning("the state file %s is damaged: it is now %s", path, aside)

    def _save_nowhere(self, reason: str) -> None:
        log.warning("%s; nothing is saved this time", reason)
        self._path = None
        self._writing = Future()
        self._writing.set_result(reason)
