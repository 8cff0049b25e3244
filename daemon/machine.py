"""What this machine holds: of a preset's schemes the first that it has the time for.

Measured once, then remembered in the user's cache folder for as long as the machine, the runtime
and stemd stay what they are.
"""

import json
import logging
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_cache_path

from stemd.daemon.measuring import Measurement, Work, measured
from stemd.daemon.networks import choose_stems, load_networks
from stemd.dsp.scheme import Scheme
from stemd.tflite_models.files import write_whole
from stemd.tflite_models.network import Network
from stemd.tflite_models.runtime import runtime_name
from stemd.tflite_models.spec import StreamingPrecision

log = logging.getLogger(__name__)

HEADROOM = 0.6
"""A scheme is held if a block takes no more than this share of the time that it may take: other
programs want some of it, and so does a processor that gets warm."""


def load_first_held(
    stems: Literal["auto", 2, 4],
    schemes: Sequence[Scheme],
    precision: StreamingPrecision,
    threads: int,
) -> tuple[Scheme, Mapping[str, Network]]:
    """Choose a preset's scheme for this machine, and load each stem's network for it.

    Parameters
    ----------
    stems : "auto", 2 or 4
    schemes : sequence of Scheme
        From the one wanted most to the one wanted least. Of a single one nothing is measured; where
        none is held, it is the last.
    precision : StreamingPrecision
    threads : int
        Threads of each network.

    Raises
    ------
    ModelError
        If the networks are missing or damaged, or no runtime is installed.
    StemdError
        If nothing can be measured.
    """
    number = choose_stems(stems)
    scheme = first_held(number, schemes, precision, threads)
    return scheme, load_networks(number, scheme, precision, threads)


def first_held(
    stems: Literal[2, 4], schemes: Sequence[Scheme], precision: StreamingPrecision, threads: int = 1
) -> Scheme:
    """Choose as `load_first_held` does."""
    if len(schemes) == 1:
        return schemes[0]
    memory = Memory()
    for scheme in schemes:
        work = Work(scheme, stems, precision, threads)
        measurement = memory.recall(work)
        if measurement is None:
            log.info("measuring this machine, once: %s, %d stems, %s", scheme, stems, precision)
            measurement = memory.measure(work)
        if is_held(measurement):
            log.info("this machine holds %s with %.0f %% load", scheme, 100 * measurement.load)
            return scheme
    log.warning(
        "this machine is too slow for every scheme of the preset: expect late blocks; another "
        "preset, stems: 2 or precision: int8 takes less"
    )
    return schemes[-1]


def is_held(measurement: Measurement) -> bool:
    """Tell whether a machine of which this was measured has the time, with room to spare."""
    return measurement.load <= HEADROOM


class Memory:
    """The measurements of this machine that a file remembers.

    It is made when there is something to remember. One that is damaged, or of another machine, is
    as none; where it cannot be written, nothing is remembered.

    Parameters
    ----------
    path : Path, optional
        By default in the user's cache folder.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or user_cache_path("stemd") / "machine.json"
        self._machine = describe_machine()
        self._measurements = self._read()

    def recall(self, work: Work) -> Measurement | None:
        """Give what was measured, if anything was."""
        return self._measurements.get(_key(work))

    def measure(self, work: Work) -> Measurement:
        """Measure, and remember it."""
        measurement = measured(work)
        self._measurements[_key(work)] = measurement
        content = {
            "machine": self._machine,
            "measurements": {key: asdict(found) for key, found in self._measurements.items()},
        }
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, json.dumps(content, indent=1).encode())
        return measurement

    def _read(self) -> dict[str, Measurement]:
        try:
            content = json.loads(self._path.read_text())
            if content["machine"] == self._machine:
                found = content["measurements"].items()
                return {key: Measurement(**measurement) for key, measurement in found}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass
        return {}


def describe_machine() -> dict[str, Any]:
    """Tell what determines how fast things are: when it changes, what was measured is void."""
    runtime = runtime_name()
    return {
        "host": platform.node(),
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)),
        "runtime": f"{runtime} {version(runtime.replace('_', '-'))}",
        "stemd": version("stemd"),
    }


def processor_name() -> str:
    """Give the processor's name, or its architecture where the kernel tells no name."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model"):
                return value.strip()
    return platform.machine()


def _key(work: Work) -> str:
    return json.dumps(asdict(work))
