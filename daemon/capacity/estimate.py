"""Estimates from published figures, without measuring, what a machine is fast enough for.

The speed at which a core multiplies is taken from MobileNet v2 (300 million multiplications with
addition: Sandler et al., "MobileNetV2", 2018), run by XNNPACK, which runs stemd's networks too, on
all four cores of a board:

- Cortex-A53 at 1.4 GHz (Raspberry Pi 3 B+): 79 ms in float32, 30 ms in int8; Cortex-A72 at 1.5 GHz
  (Raspberry Pi 4, 64 bit): 46 and 17 ms. XNNPACK's README, "Raspberry Pi", 8 February 2022.
- Cortex-A76 at 2.4 GHz (Raspberry Pi 5): 10.89 and 4.01 ms. Arm, "Optimize and deploy AI inference
  with ExecuTorch", learn.arm.com, "Compare MobileNetV2 deployment results".

The speed of memory is taken from copying, which reads as much as it writes:

- Cortex-A53: 1.12 GB/s (Raspberry Pi 3 B+; 1.3 on a Zero 2 W); Cortex-A72: 2.24 GB/s (Raspberry
  Pi 4, 64 bit). sbc-bench, "Results", memcpy.
- Cortex-A76: 5.56 GB/s (Raspberry Pi 5 with 8 GB; 6.16 with 4). tinymembench, in
  github.com/raspberrypi/firmware/issues/1876, 2 April 2024.
"""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from stemd.daemon.capacity.processor import read_cpuinfo
from stemd.daemon.work import Work
from stemd.dsp.scheme import MAX_T

MOBILENET_GMAC = 0.300

MOST_LOAD = 0.6
"""The machine holds a scheme if a block takes no more than this share of the time that it may take:
other programs need some of the rest, and a processor that gets warm becomes slower."""


@dataclass(frozen=True)
class Core:
    """A kind of core.

    Attributes
    ----------
    name : str
    int8, float32 : float
        Billions of multiplications with addition per second, with all cores working.
    memory : float
        Gigabytes per second that all cores together read from memory or write to it.
    """

    name: str
    int8: float
    float32: float
    memory: float

    def times(self, factor: float, name: str) -> "Core":
        """Return a core that is faster by a factor."""
        return Core(name, factor * self.int8, factor * self.float32, factor * self.memory)


def _core(name: str, float32_ms: float, int8_ms: float, copy: float, clock: float = 1.0) -> Core:
    """Return a core, from the time of MobileNet v2 on four of them and from gigabytes copied."""
    int8, float32 = (250 * MOBILENET_GMAC * clock / ms for ms in (int8_ms, float32_ms))
    return Core(name, int8, float32, 2 * copy)


A53, A72, A76 = (
    _core("Cortex-A53", 79, 30, copy=1.12),
    _core("Cortex-A72", 46, 17, copy=2.24),
    _core("Cortex-A76", 10.89, 4.01, copy=5.56),
)
SLOW_A53 = _core("Cortex-A53", 79, 30, copy=1.3, clock=1.0 / 1.4)

BY_PART = {"0xd03": A53, "0xd08": A72, "0xd0b": A76}
"""By the "CPU part" of /proc/cpuinfo."""

UNKNOWN = (
    # By an instruction of each set, the best first: what is certainly there, by what is known.
    ("avx2", A76.times(4, "x86 with AVX2")),
    ("asimddp", A76.times(0.5, "ARM with dot product")),
    ("asimd", A53.times(1, "64-bit ARM without dot product")),
    ("neon", A53.times(0.5, "32-bit ARM")),
)
UNKNOWN_CORE = A72.times(1, "unknown")


@dataclass(frozen=True)
class Board:
    """The capacity of a machine: its cores and memory."""

    name: str
    core: Core
    cores: int
    memory_mb: int


BOARDS = (
    Board("Raspberry Pi Zero 2 W", SLOW_A53, 4, 512),
    Board("Raspberry Pi 3 B+", A53, 4, 1024),
    Board("Raspberry Pi 4", A72, 4, 2048),
    Board("Raspberry Pi 5", A76, 4, 4096),
)


def this_board() -> Board:
    """Return the machine that this process runs on."""
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    core, cores = _core_of(read_cpuinfo()), len(os.sched_getaffinity(0))
    return Board(platform.machine(), core, cores, memory_mb)


def _core_of(fields: Mapping[str, str]) -> Core:
    """Return the core that /proc/cpuinfo describes, or one that is certainly no faster."""
    if core := BY_PART.get(fields.get("cpu part", "")):
        return core
    instructions = fields.get("flags", fields.get("features", "")).split()
    return next((core for name, core in UNKNOWN if name in instructions), UNKNOWN_CORE)


def expected_load(work: Work, board: Board) -> float:
    """Estimate the load: the time of a block, as a share of the available time.

    The networks share the cores and the bandwidth of the memory; signal processing is not counted.

    Raises
    ------
    ModelError
        The family of the networks is not known.
    """
    cost, core = work.cost, board.core
    core_s = cost.macs_int8 / (1e9 * core.int8) + cost.macs_float / (1e9 * core.float32)
    memory_s = (cost.weights + cost.activations) / (1e9 * core.memory)
    alone_s = core_s / min(work.threads, board.cores)
    together_s = work.running * max(core_s / board.cores, memory_s)
    return max(alone_s, together_s) / work.scheme.block_s


def differ_in_window(works: Sequence[Work]) -> bool:
    """Whether works differ in nothing but the length of their windows."""
    return len({replace(work, scheme=replace(work.scheme, T=MAX_T)) for work in works}) == 1


def without_slow_windows(works: Sequence[Work], board: Board) -> list[Work]:
    """Leave out longer windows that a machine is not expected to hold.

    Parameters
    ----------
    works : sequence of Work
        Those that differ in their windows one after the other, the longest window first; the
        shortest one stays.
    board : Board

    Raises
    ------
    ModelError
        As `expected_load`.
    """
    shorter = [differ_in_window(pair) for pair in pairwise(works)]
    return [
        work
        for work, has_shorter in zip(works, [*shorter, False], strict=True)
        if not has_shorter or expected_load(work, board) <= MOST_LOAD
    ]
