"""What Linux says of the processor."""

import platform
from contextlib import suppress
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
"""XNNPACK reads there too what the processor can do; without it networks are a hundred times
slower."""


def read_cpuinfo() -> dict[str, str]:
    """Return the last core's fields of /proc/cpuinfo, names in lower case; none without /proc."""
    fields: dict[str, str] = {}
    with suppress(OSError):
        for line in CPUINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip()
    return fields


def processor_name() -> str:
    """Return the name of the processor, or else its architecture."""
    fields = read_cpuinfo()
    return fields.get("model name") or fields.get("model") or platform.machine()
