"""What the speakers of a desktop without devices play, and a player that plays on for ever."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from itertools import groupby, pairwise
from threading import Thread
from time import monotonic
from typing import NamedTuple

from processes import end
from waiting import wait_until

AUDIBLE = 0.01
"""From this peak of a cycle on, something is heard."""

SILENCE_S = 0.2
"""What is heard after so long without anything begins anew."""

EAR = (
    f"""
AUDIBLE = {AUDIBLE}
"""
    + """
import sys, time
from collections import deque
from contextlib import suppress
from threading import Event
import numpy as np
from stemd.daemon.graph.libjack import candidates, load

jack = load(candidates("pipewire")[0])
heard, clients = deque(), []

def listen():
    try:
        client = jack.Client("ear", no_start_server=True)
    except jack.JackOpenError:
        return time.sleep(0.02)
    clients.append(client)  # PipeWire 1.4 cannot close it once the server has ended
    ended, last = Event(), time.monotonic()
    ports = [client.inports.register(f"in_{side}") for side in "LR"]

    def process(frames):
        if not ended.is_set():
            level = np.max([abs(port.get_array()) for port in ports], axis=0)
            first = int(np.argmax(level > AUDIBLE))
            heard.append((time.monotonic(), client.last_frame_time, float(level.max()), first))

    client.set_process_callback(process)
    client.activate()
    while time.monotonic() - last < 1.0:  # PipeWire 0.3 does not tell of its end
        time.sleep(0.02)
        for port, monitor in zip(ports, client.get_ports(r"Speakers.*:monitor_F[LR]")):
            if not port.connections:
                with suppress(jack.JackError):
                    client.connect(monitor, port)
        while heard:
            last = heard[0][0]
            print(*heard.popleft())
        sys.stdout.flush()
    ended.set()

while True:
    try:
        listen()
    except jack.JackError:
        pass
"""
)

PLAYER = 'while :; do "$@" >/dev/null 2>&1; sleep 0.05; done'


class Cycle(NamedTuple):
    """What the speakers played in a cycle."""

    at: float
    """When it was heard, in seconds of the monotonic clock."""
    frame: int
    """When it began, by the server's clock."""
    peak: float
    first: int
    """The first frame of it that is audible."""

    @property
    def is_audible(self) -> bool:
        """Whether anything is heard in it."""
        return self.peak > AUDIBLE


class Ear:
    """Hears what the speakers play, in a process of its own, which joins each server anew.

    Parameters
    ----------
    environment : dict
    """

    def __init__(self, environment) -> None:
        self._cycles: list[Cycle] = []
        self._process = subprocess.Popen(
            [sys.executable, "-c", EAR],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        Thread(target=self._read, args=[self._process.stdout], daemon=True).start()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _read(self, lines) -> None:
        with lines:
            for line in lines:
                at, frame, peak, first = line.split()
                self._cycles.append(Cycle(float(at), int(frame), float(peak), int(first)))

    def _since(self, since: float) -> list[Cycle]:
        return [each for each in self._cycles if each.at > since]

    def onsets(self, since: float, samplerate: int) -> list[float]:
        """When something began to be played after a silence, by a server that stays the same.

        The server's clock says it to the frame; this process is woken some time later. What plays
        also drives the graph, which has it from its monitor in the next cycle only.
        """
        cycles = self._since(since)
        period = min(after.frame - before.frame for before, after in pairwise(cycles))
        began = min(each.at - (each.frame + period) / samplerate for each in cycles)
        heard = [
            began + (each.frame + each.first) / samplerate for each in cycles if each.is_audible
        ]
        return [at for before, at in pairwise(heard) if at - before > SILENCE_S]

    def wait_until_heard(self, since: float) -> None:
        """Wait until something was heard after this time."""
        wait_until(lambda: any(each.is_audible for each in self._since(since)))

    def longest_silence(self, since: float) -> float:
        """The longest time after this one until something was heard again, in seconds."""
        heard = [each.at for each in self._since(since) if each.is_audible]
        return max(after - before for before, after in pairwise([since, *heard]))

    def silent_cycles(self, since: float) -> int:
        """The most cycles in a row after this time without anything heard."""
        runs = groupby(each.is_audible for each in self._since(since))
        return max((len(list(run)) for is_heard, run in runs if not is_heard), default=0)

    def loudest(self, since: float) -> float:
        """The highest peak after this time."""
        return max((each.peak for each in self._since(since)), default=0.0)


@contextmanager
def player(environment, song):
    """A program that plays a file again and again, by PulseAudio's protocol where it can."""
    pulse = shutil.which("paplay")
    command = [pulse] if pulse else ["pw-cat", "--playback"]
    process = subprocess.Popen(
        ["sh", "-c", PLAYER, "sh", *command, str(song)], env=environment, start_new_session=True
    )
    try:
        yield process
    finally:
        end(process, lambda number: os.killpg(process.pid, number))


def kill(process: int) -> float:
    """Kill a process by its number; return when."""
    os.kill(process, signal.SIGKILL)
    return monotonic()
