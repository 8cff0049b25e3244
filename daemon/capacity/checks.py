"""Checks of this machine's runtime, speed and processor, for `stemd doctor`."""

import platform
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from stemd.daemon.capacity.benchmark import measured
from stemd.daemon.capacity.choice import is_held, quickest, why_alone
from stemd.daemon.capacity.estimate import MOST_LOAD, this_board, ways_here
from stemd.daemon.capacity.processor import processor_name
from stemd.daemon.config import SeparationSection
from stemd.daemon.engine.network_choice import choose_networks
from stemd.daemon.errors import ConfigError, StemdError
from stemd.daemon.findings import Finding, bad, good, hint
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.runtime import runtime_version

GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq")


def check_versions() -> Iterator[Finding]:
    """Yield the versions of stemd, its libraries and the runtime of the networks."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "JACK-Client"))
    yield good("stemd", f"{version('stemd')} on Python {platform.python_version()}, {packages}")
    try:
        runtime = runtime_version()
    except ModelError as error:
        yield bad("runtime", str(error))
    else:
        yield good("runtime", runtime)


def check_speed(wishes: SeparationSection) -> Iterator[Finding]:
    """Measure the first scheme of the preset that this machine may hold.

    Yields nothing if its networks cannot be used.
    """
    try:
        board, networks = this_board(), choose_networks(wishes.networks, wishes.stems)
        works = wishes.works(networks)
        work, why = quickest(ways_here(works, board)[0], board)
        measurement = measured(work)
    except (ConfigError, ModelError):  # the check of the networks reports it
        return
    except StemdError as error:
        yield bad("speed", str(error))
        return
    if why := why or why_alone(works):
        yield good("precision", f"{work.precision}, because {why}")
    found = f"{work}: a load of {measurement.load:.0%}, {measurement.cores:.2f} cores busy"
    if is_held(measurement):
        yield good("speed", found)
    else:
        remedy = (
            f"up to {MOST_LOAD:.0%} is held: `stemd bench` shows the presets that are; "
            "networks: 2stems and precision: int8 take less"
        )
        yield hint("speed", found, remedy)


def check_processor() -> Finding:
    """Check whether the processor is kept slow."""
    with suppress(OSError):
        governor = (GOVERNOR / "scaling_governor").read_text().strip()
        driver = (GOVERNOR / "scaling_driver").read_text().strip()
        if governor == "powersave" and "pstate" not in driver:
            return hint(
                "processor",
                f"{processor_name()}, kept slow (governor {governor})",
                "blocks will be late: cpupower frequency-set -g performance (or schedutil)",
            )
    return good("processor", processor_name())
