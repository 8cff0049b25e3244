"""The measurements of this machine, cached in a file for each version of stemd."""

import json
import logging
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from stemd.daemon.capacity.benchmark import Measurement, compared, measured
from stemd.daemon.capacity.estimate import this_board
from stemd.daemon.capacity.processor import processor_name
from stemd.daemon.errors import StemdError
from stemd.daemon.version import VERSION
from stemd.daemon.work import Work
from stemd.tflite_models.families import FAMILIES
from stemd.tflite_models.files import (
    PRIVATE,
    locked,
    read_ordinary,
    user_cache_folder,
    write_whole,
)
from stemd.tflite_models.graphs.spec import StreamingPrecision
from stemd.tflite_models.runtime import runtime_version

log = logging.getLogger(__name__)

MOST_BYTES = 1 << 20
"""The most bytes of the cache file; a longer file has another content."""

MOST_FILES = 8
"""The files that are kept: of this machine, and of other machines that share the home folder, for
each version of stemd and of the runtime. The next one to be made removes the oldest."""


class Remembered(BaseModel):
    """The measurements of one kind of work."""

    model_config = ConfigDict(allow_inf_nan=False)

    best: Measurement
    """The measurement with the lowest load."""
    times: Annotated[int, Field(ge=1)] = 1
    """How many times it was measured."""

    @field_validator("best")
    @classmethod
    def _is_possible(cls, best: Measurement) -> Measurement:
        if min(asdict(best).values()) <= 0:
            raise ValueError  # damaged: nothing takes no time and no memory
        return best


class _Content(BaseModel):
    """The content of the cache file."""

    machine: dict[str, str]
    remembered: dict[str, Remembered] = {}
    """By the work, as text."""
    block_s: dict[str, dict[StreamingPrecision, Annotated[float, Field(gt=0)]]] = {}
    """Seconds that the networks take for a block in each precision, of one comparison; by
    `_in_any_precision`."""
    failures: dict[str, str] = {}
    """Why a comparison failed, likewise."""


class Measurements:
    """The measurements of this machine, cached in a file.

    The first measurement makes the file. A file that is damaged or of another machine counts as
    empty. If the file cannot be written, measurements are not stored. Another version of stemd, or
    another runtime, has a file of its own and starts with an empty one.

    Parameters
    ----------
    path : Path, optional
        By default one in the user's cache folder, named after `describe_machine`.

    Attributes
    ----------
    path : Path

    Raises
    ------
    ModelError
        The user has no home folder.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._machine = describe_machine()
        self.path = path or user_cache_folder() / _file_name(self._machine)

    def recall(self, work: Work) -> Remembered | None:
        """Return the measurements of this work, if there are any."""
        return self._read().remembered.get(str(work))

    def recall_block_s(self, works: Sequence[Work]) -> dict[Work, float] | None:
        """Return what `compare` found, if it has compared these works."""
        known = self._read().block_s.get(_in_any_precision(works[0]), {})
        if any(work.precision not in known for work in works):
            return None
        return {work: known[work.precision] for work in works}

    def recall_failure(self, works: Sequence[Work]) -> str:
        """Return why `compare` failed the last time; empty if it did not."""
        return self._read().failures.get(_in_any_precision(works[0]), "")

    def compare(self, works: Sequence[Work], anew: bool = False) -> dict[Work, float]:
        """Compare works that differ in their precision, and store the result, or why it failed.

        Parameters
        ----------
        works : sequence of Work
        anew : bool
            Compare even if this or another process has done so.

        Returns
        -------
        dict of Work to float
            Seconds that the networks take for a block.

        Raises
        ------
        StemdError
            As `measure`.
        """
        if not anew and (known := self.recall_block_s(works)):
            return known  # without waiting for another process that measures
        with self._alone():
            known = None if anew else self.recall_block_s(works)
            return self._compare(works) if known is None else known

    def _compare(self, works: Sequence[Work]) -> dict[Work, float]:
        content, key = self._read(), _in_any_precision(works[0])
        content.failures.pop(key, None)
        try:
            block_s = compared(works)
            content.block_s[key] = {work.precision: each for work, each in block_s.items()}
        except StemdError as error:
            content.failures[key] = str(error)
            raise
        finally:
            self._write(content)
        return block_s

    def measure(self, work: Work, enough: int | None = None) -> Remembered:
        """Measure, and store the result; one process at a time, so that none slows another.

        Parameters
        ----------
        work : Work
        enough : int, optional
            Measure only if it was measured fewer times, by this or another process.

        Raises
        ------
        StemdError
            If it cannot be measured.
        """
        with self._alone():
            known = self.recall(work)
            if known and enough is not None and known.times >= enough:
                return known
            best, times = measured(work), 1
            if known and enough is not None:
                best, times = min(best, known.best, key=lambda each: each.load), known.times + 1
            remembered = Remembered(best=best, times=times)
            content = self._read()
            content.remembered[str(work)] = remembered
            self._write(content)
        return remembered

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.path.parent, wait=True))
            except OSError as error:
                log.info("%s cannot be written, so nothing is remembered: %s", self.path, error)
            yield

    def _read(self) -> _Content:
        with suppress(OSError, ValidationError):
            content = _Content.model_validate_json(read_ordinary(self.path, MOST_BYTES))
            if content.machine == self._machine:
                return content
        return _Content(machine=self._machine)

    def _write(self, content: _Content) -> None:
        with suppress(OSError):
            write_whole(self.path, content.model_dump_json(indent=1).encode(), PRIVATE)
            _remove_oldest(self.path.parent)


def _in_any_precision(work: Work) -> str:
    """Return the same text for works that differ in their precision."""
    return str(replace(work, precision="fp32"))


def _file_name(machine: dict[str, str]) -> str:
    """Return a name of its own for each machine, runtime and version of stemd."""
    return f"machine-{sha256(json.dumps(machine).encode()).hexdigest()[:16]}.json"


def _remove_oldest(folder: Path) -> None:
    """Remove all but the `MOST_FILES` files that were written last."""
    files = sorted(folder.glob("machine-*.json"), key=lambda path: path.stat().st_mtime_ns)
    for path in files[:-MOST_FILES]:
        path.unlink(missing_ok=True)


def describe_machine() -> dict[str, str]:
    """Return what determines the speed: if any of it changes, measurements are not valid."""
    graphs = ", ".join(str(each.compiled_version) for each in FAMILIES.values())
    return {
        "host": platform.node(),
        "processor": processor_name(),
        "instructions": this_board().core.name,
        "cores": str(len(os.sched_getaffinity(0))),
        "runtime": runtime_version(),
        "stemd": f"{VERSION}, graphs of version {graphs}",
    }
