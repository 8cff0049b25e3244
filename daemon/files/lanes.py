"""Separates songs beside each other, each in a process of its own."""

import os
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Lock
from time import monotonic
from typing import Any

from stemd.daemon.child_process import STOP_S, end_process
from stemd.daemon.errors import AudioFileError
from stemd.daemon.files import container
from stemd.daemon.files.crew import Crew
from stemd.daemon.files.job import Job, Outcome, not_separated, run_job
from stemd.daemon.files.separator import OnProgress, SongSeparator
from stemd.daemon.files.song import is_piped, shown_name
from stemd.daemon.files.throttle import throttled
from stemd.daemon.work import Work
from stemd.dsp.mask_kinds import MaskExtension

LANE_BYTES, STEM_BYTES = 150_000_000, 500_000
"""What the process of a lane takes, and in addition for each stem and each spectrum of its window,
and some more."""

TRIES = 2
"""How often a song is begun whose process ends in the middle."""


def lanes_for(work: Work) -> int:
    """Return how many songs this machine separates beside each other.

    One for each core that this process may use, if the memory that is available is enough; the
    limits of a container count.
    """
    cores: float = len(os.sched_getaffinity(0))
    if (quota := container.cores_left()) is not None:
        cores = min(cores, quota)
    lane_bytes = LANE_BYTES + len(work.networks.stems) * work.scheme.T * STEM_BYTES
    return max(1, min(int(cores / work.threads), _available_bytes() // lane_bytes))


def _available_bytes() -> int:
    """Return the memory that new processes can have."""
    with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123 (it is no path of a user's)
        sizes = {name: rest.split()[0] for name, _, rest in (line.partition(":") for line in lines)}
    free, left = 1024 * int(sizes["MemAvailable"]), container.bytes_left()
    return free if left is None else min(free, left)


class Lane:
    """A process that separates one song after the other; it starts with the first.

    One thread uses it.

    Parameters
    ----------
    work : Work
    extension : MaskExtension
    """

    def __init__(self, work: Work, extension: MaskExtension) -> None:
        self._way = work, extension
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closed = False
        self._starting = Lock()

    def run(self, job: Job, on_progress: OnProgress) -> Outcome:
        """Separate a song; if the process ends meanwhile, try it again in a new one.

        Raises
        ------
        Exception
            What `run_job` raises besides AudioFileError.
        """
        tries = 1 if is_piped(job.song) else TRIES  # its beginning is gone
        for _ in range(tries):
            with suppress(EOFError, ConnectionError):
                self._ensure_process()
                self._connection.send(job)
                return self._answer(on_progress)
            status = self._end()
        why = f"signal {-status}" if status < 0 else f"exit code {status}"
        times = "twice " if tries == TRIES else ""
        error = AudioFileError(
            f"cannot separate {shown_name(job.song)}: its process ended {times}({why}); free "
            "memory, or separate fewer songs beside each other (--jobs 1)"
        )
        return not_separated(job.song, error)

    def ask_to_end(self) -> None:
        """Ask the process to end (any thread)."""
        with self._starting:
            self._is_closed = True
            if process := self._process:
                process.terminate()

    def close(self, patience_s: float = STOP_S) -> None:
        """End the process; in the middle of a song nothing of it remains (any thread)."""
        self.ask_to_end()
        with self._starting:
            process = self._process
        if process:
            end_process(process, patience_s)

    def _ensure_process(self) -> None:
        with self._starting:
            if self._is_closed:
                raise EOFError
            if self._process is None:
                self._start()

    def _start(self) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(number)],
                stdout=subprocess.DEVNULL,
                pass_fds=[number],
                start_new_session=True,  # Ctrl-C is for the one that started it
            )
        self._connection.send(self._way)

    def _answer(self, on_progress: OnProgress) -> Outcome:
        while True:
            match self._connection.recv():
                case ("progress", done, whole):
                    on_progress(done, whole)
                case Outcome() as outcome:
                    return outcome
                case BaseException() as error:
                    raise error

    def _end(self) -> int:
        """End what is left of the process; return its status."""
        with self._starting:
            process, self._process = self._process, None
        if process is None:
            return 0
        self._connection.close()
        end_process(process, STOP_S)
        return process.returncode


class Lanes(Crew):
    """Separates songs on this machine.

    Parameters
    ----------
    number : int
        How many at a time.
    work : Work
    extension : MaskExtension
    """

    def __init__(self, number: int, work: Work, extension: MaskExtension) -> None:
        self._lanes = [Lane(work, extension) for _ in range(number)]
        self._idle = SimpleQueue[Lane]()
        for lane in self._lanes:
            self._idle.put(lane)
        self._threads = ThreadPoolExecutor(number, "stemd-lane")

    def close(self) -> None:
        """End the processes; nothing half-written remains."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for lane in self._lanes:
            lane.ask_to_end()
        end = monotonic() + STOP_S
        for lane in self._lanes:
            lane.close(max(0.0, end - monotonic()))
        self._threads.shutdown()

    def submit(self, job: Job, on_progress: OnProgress) -> "Future[Outcome]":
        """Queue a song; see `Crew`."""
        return self._threads.submit(self._run, job, on_progress)

    def _run(self, job: Job, on_progress: OnProgress) -> Outcome:
        lane = self._idle.get()
        try:
            return lane.run(job, on_progress)
        finally:
            self._idle.put(lane)


def _serve(connection: "Connection[Any, Any]") -> None:
    """Separate the songs that come through a connection, until it is closed."""
    work, extension = connection.recv()
    separator = SongSeparator([work], extension)

    def tell(done: int, whole: int) -> None:
        connection.send(("progress", done, whole))

    while True:
        job: Job = connection.recv()
        try:
            answer: object = run_job(job, separator, throttled(tell))
        except AudioFileError as error:
            answer = not_separated(job.song, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run must hear of it
            answer = error
        connection.send(answer)


def _leave(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not disturb what is cleaned up
    raise SystemExit


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _leave)
    with suppress(EOFError, ConnectionError):
        _serve(Connection(int(sys.argv[1])))
