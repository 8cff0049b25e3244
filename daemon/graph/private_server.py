"""Runs a private JACK server, without a sound card."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO

from stemd.daemon.child_process import end_process, ended_with_stemd
from stemd.daemon.engine.scheduling import NORMAL, highest_by_limits
from stemd.daemon.errors import ServerError
from stemd.daemon.graph.jack import open_client
from stemd.daemon.graph.stale_shm import remove_dead_metadata

NAMES = ("stemd-1", "stemd-2", "stemd-3", "stemd-4")
"""Names of the servers.

libjack has room for eight names on the whole machine. The place of a killed server is given only to
a server with the same name, so a new name for every server would soon use up all places.
"""

PRIORITY = 20
"""Of jackd itself, when it has real-time priority: its clients are called 5 below it, and stemd's
threads need priorities below that."""

READY_S = 10.0
"""How long the server may take to answer."""

POLL_S = 0.05
"""Seconds between two attempts to reach the server while it starts."""


@contextmanager
def private_server(
    samplerate: int = 44_100, blocksize: int = 1024, realtime: bool = True
) -> Iterator[str]:
    """Run jackd's dummy driver while the context lasts.

    Parameters
    ----------
    samplerate : int
        Frames per second.
    blocksize : int
        Frames in a period.
    realtime : bool
        Whether to run with real-time priority, if the user may have it.

    Yields
    ------
    str
        The server's name, for ``JACK_DEFAULT_SERVER``.

    Raises
    ------
    ServerError
        jackd is not installed or does not start.
    """
    program = shutil.which("jackd")
    if program is None:
        raise ServerError(
            "jackd is not installed, which a private server needs: install it "
            "(Debian: apt install jackd2)"
        )
    remove_dead_metadata()  # the server would wait for ever for its locks
    with _free_name() as (name, lock), TemporaryFile() as chatter:
        process = subprocess.Popen(
            [*ended_with_stemd(), program, *_options(name, samplerate, blocksize, realtime)],
            stdin=subprocess.DEVNULL,
            stdout=chatter,
            stderr=chatter,
            env=without_pipewire(),
            pass_fds=[lock.fileno()],  # the name is taken until the server has ended too
            process_group=0,  # a Ctrl-C is for stemd, which stops the server last
        )
        try:
            _wait_until_it_answers(process, name, chatter)
            yield name
        finally:
            end_process(process)


def _options(name: str, samplerate: int, blocksize: int, realtime: bool) -> list[str]:
    priority = highest_by_limits(PRIORITY) if realtime else NORMAL
    return [
        # A few ports are enough, and spare every client tens of megabytes of shared memory.
        *("--port-max", "128"),
        *(("-R", "-P", str(priority)) if priority else ("-r",)),
        *("-n", name, "-d", "dummy", "-r", str(samplerate), "-p", str(blocksize)),
    ]


def without_pipewire() -> dict[str, str]:
    """Return the environment without the path to PipeWire's library that pw-jack adds."""
    environment = dict(os.environ)
    folders = environment.get("LD_LIBRARY_PATH", "").split(":")
    environment["LD_LIBRARY_PATH"] = ":".join(f for f in folders if "pipewire" not in f)
    return environment


@contextmanager
def _free_name() -> Iterator[tuple[str, socket.socket]]:
    """Take a free name, and hold it by an abstract socket, which ends with its process."""
    for name in NAMES:
        with socket.socket(socket.AF_UNIX) as lock:
            try:
                lock.bind(f"\0{name}-server-of-{os.getuid()}")
            except OSError:
                continue
            if _answers(name):  # of another program, which takes no lock
                continue
            yield name, lock
            return
    raise ServerError(
        f"{len(NAMES)} private servers are running, the most that may: stop one of them"
    )


def _wait_until_it_answers(
    process: "subprocess.Popen[bytes]", name: str, chatter: IO[bytes]
) -> None:
    """Poll: libjack has no event for a server that has started."""
    for _ in range(int(READY_S / POLL_S)):
        if _answers(name):
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=POLL_S)
            break
    chatter.seek(0)
    said = [line.strip() for line in chatter.read().decode(errors="replace").splitlines() if line]
    raise ServerError(
        f"jackd's dummy driver did not start (exit code {process.poll()}); "
        f"it said: {'; '.join(said[:2])}{_remedy(said)}"
    )


def _remedy(said: list[str]) -> str:
    if any("Too many servers" in line for line in said):
        return (
            " (killed servers leave that behind: stop all JACK servers and programs, "
            "then rm -r /dev/shm/jack*)"
        )
    return ""


def _answers(name: str) -> bool:
    try:
        open_client("stemd-probe", "jack", name).close()
    except ServerError:
        return False
    return True
