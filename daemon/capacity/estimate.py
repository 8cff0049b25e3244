"""Estimates, without measuring, what a machine is fast enough for.

x86 processors are known by their instructions: the networks were timed on one processor that was
shown with fewer and fewer of them (`make processors`), and cores.json has what follows.

ARM boards were not measured. The speed at which a core multiplies is taken from MobileNet v2 (300
million multiplications with addition: Sandler et al., "MobileNetV2", 2018), run by XNNPACK, which
runs stemd's networks too, on all four cores of a board:

- Cortex-A53 at 1.4 GHz (Raspberry Pi 3 B+): 79 ms in float32; Cortex-A72 at 1.5 GHz (Raspberry Pi
  4, 64 bit): 46 ms. XNNPACK's README, "Raspberry Pi", 8 February 2022.
- Cortex-A76 at 2.4 GHz (Raspberry Pi 5): 10.89 ms, and 4.01 ms in int8. Arm, "Optimize and deploy
  AI inference with ExecuTorch", learn.arm.com, "Compare MobileNetV2 deployment results".

In 8 bits a core without dot products (A53, A72) is expected to be 23 / 18 times as fast as in
float32: a Cortex-A73 with XNNPACK, github.com/google/XNNPACK/issues/6653, "Low XNNPACK speedup".
MobileNet's figures for int8 (30 and 17 ms) promise twice as much, but its layers are small and its
scales static. Counting agrees with the issue: 16 products of 8 bits take three instructions of 128
bits (SMULL, SMLAL, SADALP), of float32 four (FMLA).

The speed of memory is taken from copying, which reads as much as it writes:

- Cortex-A53: 1.12 GB/s (Raspberry Pi 3 B+; 1.3 on a Zero 2 W); Cortex-A72: 2.24 GB/s (Raspberry
  Pi 4, 64 bit). sbc-bench, "Results", memcpy.
- Cortex-A76: 5.56 GB/s (Raspberry Pi 5 with 8 GB; 6.16 with 4). tinymembench, in
  github.com/raspberrypi/firmware/issues/1876, 2 April 2024.
"""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from pathlib import Path

from stemd.daemon.capacity.processor import read_cpuinfo
from stemd.daemon.work import Work
from stemd.dsp.scheme import MAX_T
from stemd.tflite_models.runtime import preferred_precision

MOBILENET_GMAC = 0.300

MOST_LOAD = 0.6
"""The machine holds a scheme if a block takes no more than this share of the time that it may take:
other programs need some of the rest, and a processor that gets warm becomes slower."""


MOST_MEMORY = 1 / 3
"""The share of the machine's memory that stemd may need."""

MEMORY_MB = 70
"""The most memory that the daemon needs besides its networks."""


@dataclass(frozen=True)
class Core:
    """A kind of core.

    Attributes
    ----------
    name : str
    int8, float32 : float
        Billions of multiplications with addition per second, with all cores working.
    narrow : float
        The same in layers of few channels, in any precision.
    memory : float
        Gigabytes per second that all cores together read from memory or write to it.
    source : str
        On what the figures rest.
    """

    name: str
    int8: float
    float32: float
    narrow: float
    memory: float
    source: str = "published figures of MobileNet v2 with XNNPACK"

    def times(self, factor: float, name: str, source: str = "a guess") -> "Core":
        """Return a core that is faster by a factor."""
        speeds = (self.int8, self.float32, self.narrow, self.memory)
        int8, float32, narrow, memory = (factor * each for each in speeds)
        return Core(name, int8, float32, narrow, memory, source)


WITHOUT_DOT_PRODUCT = 23 / 18
"""How many times as fast as float32 are 8 bits on a core without dot products."""


def _core(
    name: str, float32_ms: float, copy: float, faster: float = WITHOUT_DOT_PRODUCT, clock: float = 1
) -> Core:
    """Return a core, from the time of MobileNet v2 on four of them and from gigabytes copied."""
    float32 = 250 * MOBILENET_GMAC * clock / float32_ms
    return Core(name, faster * float32, float32, float32, 2 * copy)


A53, A72, A76 = (
    _core("Cortex-A53", 79, copy=1.12),
    _core("Cortex-A72", 46, copy=2.24),
    _core("Cortex-A76", 10.89, copy=5.56, faster=10.89 / 4.01),
)
SLOW_A53 = _core("Cortex-A53", 79, copy=1.3, clock=1.0 / 1.4)

BY_PART = {"0xd03": A53, "0xd08": A72, "0xd0b": A76}
"""By the "CPU part" of /proc/cpuinfo."""

MEASURED = json.loads(Path(__file__).with_name("cores.json").read_text(encoding="utf-8"))
"""What `make processors` measured: the speeds of each processor that it can show."""

X86_MEMORY = 20.0
"""Two channels of DDR4 give more."""


def _x86(shown: str, name: str) -> Core:
    """Return a core that was measured, or that another one was shown as."""
    source = f"times of the networks on {MEASURED['source']}, shown as such a processor"
    return Core(name, **MEASURED["cores"][shown], memory=X86_MEMORY, source=source)


UNKNOWN = (
    # By an instruction of each set, the best first: what is certainly there, by what is known.
    ("amx_int8", _x86("all", "x86 with AMX")),
    ("avx512_vnni", _x86("avx512-vnni", "x86 with AVX-512 VNNI")),
    ("avx_vnni", _x86("avx-vnni", "x86 with AVX-VNNI")),
    ("avx512f", _x86("avx512", "x86 with AVX-512, without VNNI")),
    ("avx2", _x86("avx2", "x86 with AVX2, without VNNI")),
    ("sse4_1", _x86("sse4", "x86 with SSE 4.1, without AVX2")),
    ("asimddp", A76.times(0.5, "ARM with dot product", "half of a Cortex-A76")),
    ("asimd", A53.times(1, "64-bit ARM without dot product", "a Cortex-A53")),
    ("neon", A53.times(0.5, "32-bit ARM", "half of a Cortex-A53")),
)
UNKNOWN_CORE = A72.times(1, "unknown", "a Cortex-A72")


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
    return expected_block_s(work, board) / work.scheme.block_s


def expected_block_s(work: Work, board: Board) -> float:
    """Estimate the seconds that the networks take for a block; see `expected_load`."""
    cost, core = work.cost, board.core
    speeds = (core.int8, core.float32, core.narrow)
    gmacs = (macs / 1e9 for macs in cost.macs_by_speed)
    core_s = sum(each / speed for each, speed in zip(gmacs, speeds, strict=True))
    memory_s = (cost.weights + cost.activations) / (1e9 * core.memory)
    alone_s = core_s / min(work.threads, board.cores)
    together_s = work.running * max(core_s / board.cores, memory_s)
    return max(alone_s, together_s)


def memory_mb(work: Work) -> float:
    """Return the most memory that the daemon needs for a work."""
    return MEMORY_MB + work.running * work.cost.memory_mb


def fits(work: Work, board: Board) -> bool:
    """Whether the daemon needs no more than `MOST_MEMORY` for a work."""
    return memory_mb(work) <= MOST_MEMORY * board.memory_mb


def possible(way: Sequence[Work], board: Board) -> list[Work]:
    """Return those works of a way that suit the runtime, and fit into memory.

    If none fits, it is the first one, which needs least.
    """
    if preferred_precision() == "fp32":
        way = [work for work in way if work.precision == "fp32"] or way
    return [work for work in way if fits(work, board)] or [*way[:1]]


def differ_in_window(works: Sequence[Work]) -> bool:
    """Whether works differ in nothing but the length of their windows."""
    return len({replace(work, scheme=replace(work.scheme, T=MAX_T)) for work in works}) == 1


def without_slow_windows(works: Sequence[Work], board: Board) -> list[Work]:
    """Leave out longer windows that a machine is not expected to hold.

    Parameters
    ----------
    works : sequence of Work
        Those that differ in their windows one after the other, the longest window first; the
        shortest one stays. Of each, those that differ in their precision one after the other: the
        quickest counts.
    board : Board

    Raises
    ------
    ModelError
        As `expected_load`.
    """
    ways = by_precision(works)
    shorter = [differ_in_window([one[0], other[0]]) for one, other in pairwise(ways)]
    return [
        work
        for way, has_shorter in zip(ways, [*shorter, False], strict=True)
        if not has_shorter or expected_load(expected_quickest(way, board), board) <= MOST_LOAD
        for work in way
    ]


def ways_here(works: Sequence[Work], board: Board) -> list[tuple[Work, ...]]:
    """Return the works that are possible on a machine, without its slow windows.

    Parameters
    ----------
    works : sequence of Work
        As for `without_slow_windows`.
    board : Board

    Returns
    -------
    list of tuple of Work
        As `by_precision`.

    Raises
    ------
    ModelError
        As `expected_load`.
    """
    works = [work for way in by_precision(works) for work in possible(way, board)]
    return by_precision(without_slow_windows(works, board))


def by_precision(works: Sequence[Work]) -> list[tuple[Work, ...]]:
    """Put works that differ in nothing but their precision together, if they are neighbours."""
    return [tuple(way) for _, way in groupby(works, lambda work: replace(work, precision="fp32"))]


def expected_quickest(way: Sequence[Work], board: Board) -> Work:
    """Return the work of the precision that is expected to be fastest.

    Parameters
    ----------
    way : sequence of Work
        That differ in their precision; see `by_precision`.
    board : Board

    Raises
    ------
    ModelError
        As `expected_load`.
    """
    return min(way, key=lambda work: expected_load(work, board))
