"""Finds out whether a JACK client of PipeWire became inactive.

Such a client loses its connections as if a user had removed them. Libjack reports no more than that
before PipeWire 0.3.77, and later too if the client is active again at once. PipeWire itself shows
the difference: the client's node does not run, or, if the client is active again already, a thread
of its process is younger than the loss.
"""

import json
import logging
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

DUMP_S = 10.0
"""How long ``pw-dump`` may take; usually it takes 10 ms."""

LATE_S = 1.0
"""How long after a client is active again the loss of its connections may be noticed, on a busy
machine. A user is slower to disconnect a client that has just begun to play."""

TICKS_PER_S = os.sysconf("SC_CLK_TCK")

DATA_THREAD = b"data-loop"
"""How the name of that thread begins since PipeWire 1.2; before, it has its process's."""

START_TIME = 22
"""The field of /proc/PID/stat with the time when the thread started; see proc_pid_stat(5)."""


def was_inactive(serial: int, since: float, remote: str | None = None) -> bool:
    """Whether a client has been inactive at some time from the given one until now.

    Waits up to `DUMP_S`; not for the main thread.

    Parameters
    ----------
    serial : int
        The serial of the client's node.
    since : float
        Seconds of the monotonic clock.
    remote : str, optional
        Name of PipeWire's socket.

    Returns
    -------
    bool
        False also if that cannot be known.
    """
    try:
        found = {each["id"]: each.get("info") or {} for each in _dump(remote)}
        return _shows_inactive(found, serial, since)
    except Exception as error:  # noqa: BLE001 - of what another program prints
        log.debug("it is not known whether a client of PipeWire was inactive: %s", error)
        return False


def _shows_inactive(found: Mapping[int, dict[str, Any]], serial: int, since: float) -> bool:
    nodes = (info for info in found.values() if _properties(info).get("object.serial") == serial)
    node = next((info for info in nodes if "state" in info), {})
    if not _properties(node).get("node.always-process"):
        return False  # no JACK client: it keeps its connections while it is paused
    if node["state"] != "running":
        return True
    client = found.get(_properties(node).get("client.id", -1), {})
    return _has_thread_since(since, _properties(client).get("pipewire.sec.pid"))


def _properties(info: dict[str, Any]) -> dict[str, Any]:
    return info.get("props") or {}


def _dump(remote: str | None) -> list[dict[str, Any]]:
    """Return PipeWire's objects."""
    command = ["pw-dump", *(["--remote", remote] if remote else [])]
    done = subprocess.run(
        command, capture_output=True, check=True, timeout=DUMP_S, start_new_session=True
    )
    return list(json.loads(done.stdout))


def _has_thread_since(since: float, process: int | None) -> bool:
    """Whether a thread of a process, which libjack starts with each activation, is so young."""
    since_boot = since - LATE_S + time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    threads = list(_threads(process))
    known = [each for each in threads if each[0].startswith(DATA_THREAD)]
    return any(ticks >= int(since_boot * TICKS_PER_S) for _, ticks in known or threads)


def _threads(process: int | None) -> Iterator[tuple[bytes, int]]:
    """Yield the name of each thread, and when it started."""
    for file in Path(f"/proc/{process}/task").glob("*/stat"):
        with suppress(OSError):  # it ended
            name, _, after = file.read_bytes().partition(b"(")[2].rpartition(b")")
            yield name, int(after.split()[START_TIME - 3])
