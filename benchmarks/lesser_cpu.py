"""Run a program on an x86 processor with fewer instructions than this one, at full speed.

`python -m benchmarks.lesser_cpu PROCESSOR COMMAND …` does this; `lesser_cpu.c` says how. It needs a
processor that can hide what it is (flag `cpuid_fault` of /proc/cpuinfo: most of Intel since 2012),
x86-64 Linux, and a C compiler.
"""

import os
import subprocess
import sys
from argparse import REMAINDER, ArgumentParser
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

SOURCE = Path(__file__).with_suffix(".c")

ALL, _NAME = "all", "LESSER_CPU"

PROCESSORS = {
    ALL: "all its instructions",
    "avx512-vnni": "AVX-512 with VNNI, without AMX (Intel Ice Lake, AMD Zen 4)",
    "avx512": "AVX-512 without VNNI (Intel Skylake-X)",
    "avx-vnni": "AVX2 with AVX-VNNI, without AVX-512 (Intel since Alder Lake, N100)",
    "avx2": "AVX2 without VNNI (Intel Haswell to Comet Lake, AMD Zen to Zen 3)",
    "sse4": "SSE 4.2 without AVX (Intel Celeron and Pentium until 2021)",
}
"""The processors that can be shown."""


def can_hide() -> bool:
    """Whether this processor can hide what it is."""
    path = Path("/proc/cpuinfo")
    return path.exists() and " cpuid_fault" in path.read_text()


def environment_of(processor: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment whose programs see a processor.

    Parameters
    ----------
    processor : str
        One of `PROCESSORS`.
    environment : mapping of str to str
        What else the environment has.
    """
    if processor == ALL:
        return dict(environment)
    return {**environment, "LD_PRELOAD": str(_library()), _NAME: processor}


def shown() -> str:
    """Return which of `PROCESSORS` this process sees."""
    return os.environ.get(_NAME, ALL)


def restart_on(processor: str, module: str) -> None:
    """Begin the program `python -m module` again, with the same arguments, on a processor.

    Returns if this process already sees it.
    """
    if processor != shown():
        _run(processor, [sys.executable, "-m", module, *sys.argv[1:]])


def _run(processor: str, command: list[str]) -> NoReturn:
    if processor != ALL and not can_hide():
        sys.exit("this processor cannot hide what it is: /proc/cpuinfo has no flag cpuid_fault")
    os.execvpe(command[0], command, environment_of(processor, os.environ))  # noqa: S606


def _library() -> Path:
    """Return the compiled library, which lies in this Python's environment."""
    key = sha256(SOURCE.read_bytes()).hexdigest()[:16]
    path = Path(sys.prefix) / f"lesser_cpu-{key}.so"
    if not path.exists():
        made = path.with_suffix(f".{os.getpid()}")
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", made, SOURCE], check=True)
        made.replace(path)
    return path


def main() -> None:
    """Run a command on a processor."""
    parser = ArgumentParser(description=__doc__)
    meanings = "; ".join(f"{name}: {meaning}" for name, meaning in PROCESSORS.items())
    parser.add_argument("processor", choices=PROCESSORS, help=meanings)
    parser.add_argument("command", nargs=REMAINDER, help="the program, and its arguments")
    given = parser.parse_args()
    _run(given.processor, given.command)


if __name__ == "__main__":
    main()
