"""Other people's programs beside a stemd that runs."""

import subprocess
from contextlib import contextmanager

import numpy as np
import soundfile

from processes import end
from stemd.daemon.control.client import ControlClient
from waiting import wait_until

RATE = 48_000

LEFT_PEAK = 0.4
"""Of `write_song`."""


class Desk:
    """stemd as it runs, and what its user asks of it."""

    def __init__(self, process, environment) -> None:
        self.process = process
        self._socket = f"{environment['XDG_RUNTIME_DIR']}/stemd/stemd.socket"

    def ask(self, do: str, **more):
        with ControlClient(self._socket) as client:
            return client.ask(do, **more)

    def status(self):
        return self.ask("status")

    def connections(self) -> set[tuple[str, str]]:
        return {tuple(each) for each in self.status()["connections"]}


@contextmanager
def started(command, environment, **more):
    """A program as long as the context lasts."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=more.pop("stdout", subprocess.DEVNULL),
        stderr=subprocess.DEVNULL,
        **more,
    )
    try:
        yield process
    finally:
        end(process)
        if process.stdout:
            process.stdout.close()


@contextmanager
def started_until(appears, command, environment):
    """A program from when something appears; some end now and then while they start."""
    for _ in range(5):
        with started(command, environment) as process:
            wait_until(lambda process=process: appears() or process.poll() is not None)
            if process.poll() is None:
                yield process
                return
    raise AssertionError(f"{command[0]} ended each time")


def write_song(path, seconds: float, samplerate: int = RATE, hertz: float = 440.0) -> None:
    """A tone, a little louder on the left."""
    t = np.arange(round(seconds * samplerate)) / samplerate
    tone = np.sin(2 * np.pi * hertz * t)
    soundfile.write(path, np.stack([LEFT_PEAK * tone, LEFT_PEAK / 2 * tone], 1), samplerate)
