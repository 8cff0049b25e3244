"""Measures the load and memory of one scheme on this machine, in its own process.

`python -m stemd.daemon.capacity.benchmark` measures and prints; `measured` and `compared` run it
and read its output. In its own process, the memory is only that of the scheme, and is freed
afterwards.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time, thread_time
from typing import Any, Literal, TypeAlias

import numpy as np

from stemd.daemon.capacity import processor
from stemd.daemon.engine.networks import ByStem, load_networks
from stemd.daemon.engine.scheduling import give_back_memory
from stemd.daemon.engine.workers import WorkerPool
from stemd.daemon.errors import StemdError
from stemd.daemon.presets import UNMEASURED
from stemd.daemon.work import SetOfNetworks, Work
from stemd.dsp.banks import Bank
from stemd.dsp.mask_kinds import MaskExtension, MaskKind
from stemd.dsp.pipeline import Pipeline
from stemd.dsp.scheme import CHANNELS, SAMPLERATE, Grid, Scheme
from stemd.dsp.separator import Separator
from stemd.tflite_models.errors import ModelError

SERVER_RATE = 48_000
"""Sample rate of the mixture while measuring: that of most servers."""

LEAST_S, LEAST_BLOCKS = 1.5, 8
"""The shortest measurement, in seconds and in blocks."""

PR_SET_PDEATHSIG = 1  # of sys/prctl.h

LIMIT_S = 300.0
"""How long a measurement may take: the slowest board needs two minutes for the longest preset."""

WARM_UP = 2
"""The first blocks, which do not count: they use their memory for the first time."""

Task: TypeAlias = Literal["measure", "compare"]
"""What another process is asked for."""

LEAST_ROUNDS = 8
"""The fewest blocks of each work in a comparison."""


@dataclass(frozen=True)
class Measurement:
    """The load and memory of one scheme."""

    load: float
    """Time of a block as a share of the available time: the second slowest of 20 blocks.
    Networks and signal processing run in parallel, as in the daemon."""
    cores: float
    """Cores kept busy: processor time, as a share of the duration of the music."""
    network_ms: float
    """Mean time of one network for one block."""
    dsp_ms: float
    """Mean time of the signal processing of one hop, converting from and to 48 kHz."""
    memory_mb: float
    """Private memory of a process that does this and nothing else."""


class _Stopwatch:
    """A worker pool that notes when each block was collected."""

    def __init__(self, pool: WorkerPool) -> None:
        self.times: list[float] = []
        self._pool = pool

    def submit(self, bank: Bank) -> None:
        self._pool.submit(bank)

    def collect(self, bank: Bank) -> bool:
        finished = self._pool.collect(bank)
        self.times.append(perf_counter())
        return finished


def measure(networks: ByStem, scheme: Scheme, masks: MaskKind = "sigmoid") -> Measurement:
    """Separate noise as fast as possible, and time it.

    Parameters
    ----------
    networks : ByStem
        For the scheme's window.
    scheme : Scheme
    """
    pool = WorkerPool(networks, patience=lambda: None)
    watch = _Stopwatch(pool)
    separator = Separator(
        scheme, len(networks), watch, MaskExtension.MEAN, residual=pool.has_residual, masks=masks
    )
    pipeline = Pipeline(separator, SERVER_RATE)
    rng = np.random.default_rng(0)
    hop_length = scheme.grid.hop_length
    mixture = 0.1 * rng.standard_normal((CHANNELS, hop_length), np.float32)
    pool.start()
    frames, dsp_s, cpu_s = 0, -thread_time(), -process_time()
    while len(watch.times) < WARM_UP + LEAST_BLOCKS or watch.times[-1] - watch.times[0] < LEAST_S:
        for _ in pipeline.process(mixture):
            pass
        frames += hop_length
    dsp_s += thread_time()
    pool.stop()
    cpu_s += process_time()
    blocks = np.diff(watch.times[WARM_UP:])
    hops = frames / hop_length * SAMPLERATE / SERVER_RATE
    network_s = sum(worker.busy_s for worker in pool.workers) / len(pool.workers)
    return Measurement(
        load=float(np.quantile(blocks, 0.95)) / scheme.block_s,
        cores=cpu_s * SERVER_RATE / frames,
        network_ms=1e3 * network_s / len(watch.times),
        dsp_ms=1e3 * dsp_s / hops,
        memory_mb=private_memory_mb(),
    )


def compare(works: Mapping[Work, ByStem]) -> dict[Work, float]:
    """Run the networks of several works in turns, and return the seconds that a block takes.

    A machine that is slow for a while is slow for all of them.

    Parameters
    ----------
    works : mapping of Work to ByStem
        Works of the same scheme and set, and their networks.
    """
    (first, networks), *_ = works.items()
    bank = Bank(first.scheme, len(networks))
    bank.magnitudes[:] = np.random.default_rng(0).rayleigh(1, bank.magnitudes.shape)
    took: dict[Work, list[float]] = {work: [] for work in works}
    with ExitStack() as stack:
        pools = {}
        for work, by_stem in works.items():
            pools[work] = WorkerPool(by_stem, patience=lambda: None)
            stack.callback(pools[work].stop)
            pools[work].start()
        began = perf_counter()
        while len(took[first]) < LEAST_ROUNDS or perf_counter() - began < LEAST_S:
            bank.number += 1
            for work, pool in pools.items():
                started = perf_counter()
                pool.submit(bank)
                pool.collect(bank)
                took[work].append(perf_counter() - started)
    own = np.array(took[first][1:])
    ratios = {work: median(np.array(times[1:]) / own) for work, times in took.items()}
    return {work: float(median(own) * ratio) for work, ratio in ratios.items()}


def private_memory_mb() -> float:
    """Return the unique set size of this process: megabytes that no other process shares."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def measured(work: Work) -> Measurement:
    """Measure in another process.

    Raises
    ------
    StemdError
        The error of that process, or how it ended.
    """
    return Measurement(**_ask_another("measure", [work]))


def compared(works: Sequence[Work]) -> dict[Work, float]:
    """Compare in another process; see `compare`.

    Raises
    ------
    StemdError
        As `measured`.
    """
    return dict(zip(works, _ask_another("compare", works)["seconds"], strict=True))


def _ask_another(what: Task, works: Sequence[Work]) -> dict[str, Any]:
    """Return what another process answers."""
    work = works[0]
    remedy = f"choose a preset that is not measured ({', '.join(UNMEASURED)})"
    if what == "compare":
        remedy = "set separation.precision to mixed or fp32"
    if not processor.CPUINFO.exists():
        raise StemdError(
            f"measuring {work.scheme} failed: there is no {processor.CPUINFO}; mount /proc"
        )
    try:
        done = subprocess.run(
            # -P: nothing is imported from the current folder.
            [sys.executable, "-P", "-m", __name__, _as_json(what, works), str(os.getpid())],
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,  # Ctrl-C is for the process that asked
            timeout=LIMIT_S,
        )
        answer = json.loads(done.stdout)
    except OSError as error:
        raise StemdError(f"measuring {work.scheme} failed: {error}") from None
    except subprocess.TimeoutExpired:
        raise StemdError(
            f"measuring {work.scheme} failed: it did not end in {LIMIT_S:.0f} s; {remedy}"
        ) from None
    except ValueError:
        raise StemdError(
            f"measuring {work.scheme} failed: {_how_it_ended(done)}; {remedy}"
        ) from None
    if "error" in answer:
        raise StemdError(f"measuring {work.scheme} failed: {answer['error']}")
    found: dict[str, Any] = answer
    return found


def _as_json(what: Task, works: Sequence[Work]) -> str:
    return json.dumps({what: [asdict(work) for work in works]})


def _work(given: dict[str, Any]) -> Work:
    """Return a work that was written as JSON."""
    scheme, networks = given["scheme"], given["networks"]
    scheme = Scheme(**{**scheme, "grid": Grid(**scheme["grid"])})
    networks = SetOfNetworks(**{**networks, "stems": tuple(networks["stems"])})
    return Work(**{**given, "scheme": scheme, "networks": networks})


def _how_it_ended(done: "subprocess.CompletedProcess[str]") -> str:
    if done.returncode < 0:
        return f"the process was ended by {signal.Signals(-done.returncode).name}"
    said = done.stderr.strip().splitlines()[-1:] or ["nothing"]
    return f"the process ended with exit code {done.returncode} and said: {said[0]}"


def end_with(parent: int) -> None:
    """End this process with the thread of its parent that waits for the measurement."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended before
        sys.exit()


def main(argument: str, parent: str) -> None:
    """Measure what `measured` or `compared` asks for, and print it as JSON."""
    end_with(int(parent))
    ((what, given),) = json.loads(argument).items()
    works = [_work(each) for each in given]
    if what == "compare":
        os.nice(19)  # what plays comes first, and only the ratio decides
    try:
        networks = {work: load_networks(work) for work in works}
        give_back_memory()  # as the daemon does: what deriving them took
        if what == "compare":
            answer: dict[str, Any] = {"seconds": [*compare(networks).values()]}
        else:
            work = works[0]
            answer = asdict(measure(networks[work], work.scheme, work.networks.masks))
    except (StemdError, ModelError) as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))  # noqa: T201 - the answer


if __name__ == "__main__":
    main(*sys.argv[1:])
