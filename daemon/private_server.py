"""A JACK server of one's own, without a sound card."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from stemd.daemon.errors import ServerError
from stemd.daemon.jack_graph import open_client

PRIORITY = 10
"""jackd's own, when it runs with real-time priority."""

READY_S = 10.0
"""How long the server may take to answer."""

STOP_S = 5.0
"""How long it may take to stop before it is killed."""


@contextmanager
def private_server(
    samplerate: int = 44_100, blocksize: int = 1024, realtime: bool = True
) -> Iterator[str]:
    """Run jackd's dummy driver as long as the context lasts.

    Parameters
    ----------
    samplerate : int
        Frames per second.
    blocksize : int
        Frames in a period.
    realtime : bool
        Whether to run with real-time priority, where the user may.

    Yields
    ------
    str
        The server's name, for ``JACK_DEFAULT_SERVER``.

    Raises
    ------
    ServerError
        If jackd is not installed or does not start.
    """
    program = shutil.which("jackd")
    if program is None:
        raise ServerError(
            "jackd is not installed, which a private server needs: install it "
            "(Debian: apt install jackd2)"
        )
    name = f"stemd-{os.getpid()}"
    # A few ports are enough, and spare every client tens of megabytes of shared memory.
    command = [
        program,
        "--port-max",
        "128",
        "-n",
        name,
        "-R" if realtime and _may_run_in_realtime() else "-r",
    ]
    command += ["-d", "dummy", "-r", str(samplerate), "-p", str(blocksize)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,  # a Ctrl-C is for stemd, which stops the server last
    )
    try:
        _wait_until_it_answers(process, name)
        yield name
    finally:
        _stop(process)


def _may_run_in_realtime() -> bool:
    """Try it: a server that was refused it tells clients all the same that it has it.

    Some then start threads that cannot run (jack-play's reader is one).
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        return False
    os.sched_setscheduler(0, *before)
    return True


def _wait_until_it_answers(process: subprocess.Popen[bytes], name: str) -> None:
    """Libjack has nothing to wait on for a server to come, so ask again and again."""
    tries = int(READY_S / 0.05)
    for _ in range(tries):
        try:
            open_client("stemd-probe", "jack", name).close()
        except ServerError:
            try:
                process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
            break
        else:
            return
    raise ServerError(
        f"jackd's dummy driver did not start (exit code {process.poll()}): "
        f"see what it says when started by hand: jackd -n {name} -d dummy"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
