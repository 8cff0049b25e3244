"""The networks, each on a worker thread of its own."""

from collections.abc import Callable, Mapping
from queue import SimpleQueue
from threading import Semaphore
from time import monotonic, perf_counter

from stemd.daemon.engine.scheduling import NORMAL, STOP_S, Role, RoleThread
from stemd.daemon.errors import StemdError
from stemd.dsp.banks import Bank, Network, stream_of

FIRST_PAUSE_S, LAST_PAUSE_S = 4.0, 64.0
"""How long slow networks are without priority before their next trial: the first time, and at
most."""


class Worker:
    """A thread that runs one stem's network on one bank after the other.

    Attributes
    ----------
    busy_s : float
        Seconds spent in the network so far.
    blocks : int
        Blocks that the network has done so far.
    done : Semaphore
        Released once for each bank that is done.

    Parameters
    ----------
    stem : str
    number : int
        Number of the stem, and of its row in each bank.
    network : Network
    priority : callable
        Returns the priority of the thread; see `scheduling.RoleThread`.
    """

    def __init__(
        self, stem: str, number: int, network: Network, priority: Callable[[], int]
    ) -> None:
        self.stem = stem
        self.done = Semaphore(0)
        self.busy_s = 0.0
        self.blocks = 0
        self.error: Exception | None = None
        self._number = number
        self._banks: SimpleQueue[Bank | None] = SimpleQueue()
        # Only the thread has the network, so that its memory is free as soon as the thread ends.
        self._thread = RoleThread(
            Role.NETWORKS, self._run, f"stemd-{stem}", priority, args=(network,)
        )

    @property
    def is_running(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to take banks."""
        self._thread.start()

    def reschedule(self) -> None:
        """Give the thread the priority that is wanted now (any thread)."""
        self._thread.reschedule()

    def submit(self, bank: Bank) -> None:
        """Queue the bank (engine thread)."""
        self._banks.put(bank)

    def end(self) -> None:
        """Ask the thread to end once its network is idle (any thread)."""
        self._banks.put(None)

    def has_ended(self, until: float) -> bool:
        """Wait for the thread's end, or until a monotonic time; return whether it has ended."""
        if self._thread.ident is None:  # it was never started
            return True
        self._thread.join(max(until - monotonic(), 0))
        return not self._thread.is_alive()

    def _run(self, network: Network) -> None:
        run = stream_of(network)
        while (bank := self._banks.get()) is not None:
            started = perf_counter()
            try:
                run(bank.magnitudes, bank.estimates[self._number], bank.number)
            except Exception as error:  # noqa: BLE001 - whatever it is, the engine must hear of it
                self.error = error.with_traceback(None)  # which would keep the network
            self.busy_s += perf_counter() - started
            self.blocks += 1
            self.done.release()


class Probation:
    """Decides when slow networks get real-time priority (one thread).

    A short delay of the machine may have made them late, and on a busy machine they do not recover
    without priority. So they keep it for a trial. Later they get more trials, and each pause is
    twice as long as the last. Networks that are too slow take the processor from other programs
    only during a trial.

    Parameters
    ----------
    trial_s : float
        Duration of a trial in seconds.
    """

    def __init__(self, trial_s: float) -> None:
        self._trial_s = trial_s
        self.begin(0.0)

    def begin(self, now: float) -> None:
        """Begin with a trial (seconds of a clock)."""
        self._is_trial = True
        self._until = now + self._trial_s
        self._pause_s = FIRST_PAUSE_S

    def is_trial(self, now: float) -> bool:
        """Whether the networks have the priority now."""
        while now >= self._until:
            self._is_trial = not self._is_trial
            if self._is_trial:
                self._until = now + self._trial_s
            else:
                self._until = now + self._pause_s
                self._pause_s = min(2 * self._pause_s, LAST_PAUSE_S)
        return self._is_trial


class WorkerPool:
    """Runs every stem's network at once, for the separator.

    Parameters
    ----------
    networks : mapping of stem to network
        In the order of the stems; None for the last if it is the residual.
    patience : callable
        Called when a block is due; returns the seconds to wait for it, None: without limit.

    Attributes
    ----------
    workers : list of Worker
    has_residual : bool
        Whether the last stem has no network.
    """

    def __init__(
        self, networks: Mapping[str, Network | None], patience: Callable[[], float | None]
    ) -> None:
        self._patience = patience
        self._wanted = NORMAL
        self._is_overloaded = False
        self.workers = [
            Worker(stem, number, network, self._priority)
            for number, (stem, network) in enumerate(networks.items())
            if network
        ]
        self.has_residual = len(self.workers) < len(networks)
        self._awaited = list(self.workers)
        """The workers that have not finished the bank that is collected next."""

    def start(self) -> None:
        """Start the threads.

        Raises
        ------
        RuntimeError
            The system permits no more threads; `stop` ends those that run.
        """
        for worker in self.workers:
            worker.start()

    @property
    def is_overloaded(self) -> bool:
        """Whether the threads have lost their priority (any thread)."""
        return self._is_overloaded

    @property
    def is_running(self) -> bool:
        """Whether any of the threads runs."""
        return any(worker.is_running for worker in self.workers)

    def submit(self, bank: Bank) -> None:
        """Give the bank to every worker (engine thread)."""
        for worker in self.workers:
            worker.submit(bank)

    def collect(self, bank: Bank) -> bool:  # noqa: ARG002 - they come in order
        """Wait for the workers while patience lasts; return whether all are done (engine thread).

        Raises
        ------
        StemdError
            A network failed.
        """
        patience = self._patience()
        until = None if patience is None else monotonic() + patience
        while self._awaited and _acquire(self._awaited[-1].done, until):
            self._awaited.pop()
        self._raise_errors()
        if self._awaited:
            return False
        self._awaited = list(self.workers)
        return True

    def set_priority(self, priority: int) -> None:
        """Set the threads' priorities (one thread)."""
        self._wanted = priority
        self._reschedule()

    def set_overloaded(self, on: bool) -> None:
        """Remove the threads' priority, or give it back (one thread, not that of `set_priority`).

        Slow networks must not take the processor from other programs.
        """
        if on != self._is_overloaded:
            self._is_overloaded = on
            self._reschedule()

    def stop(self) -> bool:
        """End the threads; return False if one of them hangs and still runs."""
        for worker in self.workers:
            worker.end()
        until = monotonic() + STOP_S
        return all([worker.has_ended(until) for worker in self.workers])  # noqa: C419 - every one

    def _priority(self) -> int:
        return NORMAL if self._is_overloaded else self._wanted

    def _reschedule(self) -> None:
        for worker in self.workers:
            worker.reschedule()

    def _raise_errors(self) -> None:
        for worker in self.workers:
            if worker.error:
                raise StemdError(f"the network for {worker.stem} failed: {worker.error}")


def _acquire(semaphore: Semaphore, until: float | None) -> bool:
    if until is None:
        return semaphore.acquire()
    return semaphore.acquire(timeout=max(until - monotonic(), 0))
