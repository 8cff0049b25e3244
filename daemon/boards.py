"""What small boards can hold, by count: an estimate from published figures, not a measurement.

How fast a kind of core multiplies is taken from MobileNet v2 (300 million multiplications with
addition: Sandler et al., "MobileNetV2", 2018), run by XNNPACK, which runs stemd's networks too, on
all four cores of a board:

- Cortex-A53 at 1.4 GHz (Raspberry Pi 3 B+): 79 ms in float32, 30 ms in int8; Cortex-A72 at 1.5 GHz
  (Raspberry Pi 4, 64 bit): 46 and 17 ms. XNNPACK's README, "Raspberry Pi", 8 February 2022.
- Cortex-A76 at 2.4 GHz (Raspberry Pi 5): 10.89 and 4.01 ms. Arm, "Optimize and deploy AI inference
  with ExecuTorch", learn.arm.com, "Compare MobileNetV2 deployment results".
"""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from stemd.daemon.work import Work
from stemd.dsp.scheme import HOP_LENGTH, SAMPLERATE, Scheme

MOBILENET_GMAC = 0.300

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Core:
    """A kind of core.

    Attributes
    ----------
    name : str
    int8, float32 : float
        Billions of multiplications with addition in a second, when all cores are at it.
    """

    name: str
    int8: float
    float32: float


def _core(name: str, float32_ms: float, int8_ms: float, clock: float = 1.0) -> Core:
    """Make one from the time of MobileNet v2 on four of them."""
    rates = (1000 * MOBILENET_GMAC * clock / (4 * ms) for ms in (int8_ms, float32_ms))
    return Core(name, *rates)


A53, A72, A76 = (
    _core("Cortex-A53", 79, 30),
    _core("Cortex-A72", 46, 17),
    _core("Cortex-A76", 10.89, 4.01),
)
SLOW_A53 = _core("Cortex-A53", 79, 30, clock=1.0 / 1.4)

BY_PART = {"0xd03": A53, "0xd08": A72, "0xd0b": A76}
"""By the "CPU part" of /proc/cpuinfo."""

UNKNOWN = (
    # By an instruction of each set, the best first: what is certainly there, by what is known.
    ("avx2", Core("x86 with AVX2", 4 * A76.int8, 4 * A76.float32)),
    ("asimddp", Core("ARM with dot product", A76.int8 / 2, A76.float32 / 2)),
    ("asimd", Core("64-bit ARM without dot product", A53.int8, A53.float32)),
    ("neon", Core("32-bit ARM", A53.int8 / 2, A53.float32 / 2)),
)
UNKNOWN_CORE = Core("unknown", A72.int8, A72.float32)


@dataclass(frozen=True)
class Board:
    """A machine, as far as it matters here."""

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

MACS = {
    Scheme(T=64, B=1, A=1, mirror=8): (555e6, 96e6),
    Scheme(T=64, B=2, A=1, mirror=8): (555e6, 96e6),
    Scheme(T=64, B=3, A=0, mirror=8): (565e6, 106e6),
    Scheme(T=64, B=4, A=8): (575e6, 116e6),
    Scheme(T=128, B=16, A=16): (1079e6, 214e6),
    Scheme(T=128, B=128, A=0): (1628e6, 475e6),
}
"""Multiplications with addition in one network and one block of each preset's schemes: all of
them, and those that stay float32 in ``mixed``. `tflite_models.counting` counts them."""


def this_board() -> Board:
    """Look what we run on."""
    text = CPUINFO.read_text() if CPUINFO.exists() else ""
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return Board(platform.machine(), _core_of(text), len(os.sched_getaffinity(0)), memory_mb)


def _core_of(cpuinfo: str) -> Core:
    """Tell which core it is, or one that is certainly no faster."""
    lines = [line.partition(":")[::2] for line in cpuinfo.splitlines()]
    told = {key.strip().lower(): value.strip() for key, value in lines}
    if core := BY_PART.get(told.get("cpu part", "")):
        return core
    instructions = told.get("flags", told.get("features", "")).split()
    return next((core for name, core in UNKNOWN if name in instructions), UNKNOWN_CORE)


def expected_load(work: Work, board: Board) -> float:
    """Estimate what share of the time that it may take a block takes.

    The networks have the cores among themselves; the signal processing is not counted.

    Raises
    ------
    KeyError
        The scheme is none of a preset's.
    """
    everything, in_float = MACS[work.scheme]
    in_float = {"fp32": everything, "mixed": in_float, "int8": 0.0}[work.precision]
    core_s = (everything - in_float) / (1e9 * board.core.int8) + in_float / (
        1e9 * board.core.float32
    )
    networks = work.stems - work.remainder
    block_s = work.scheme.B * HOP_LENGTH / SAMPLERATE
    alone = core_s / min(work.threads, board.cores)
    return max(alone, networks * core_s / board.cores) / block_s
