"""What a whole command costs.

As a program, `cost.py COMMAND …` runs the command and prints what it took as JSON. It is one of
its own because the kernel counts what the parent holds as a child's memory until the child has
become the command; this parent holds next to nothing, and imports nothing of stemd's.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter


@dataclass(frozen=True)
class Cost:
    """Of a command and all the processes it started."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    """Resident memory of the largest of its processes."""


def cost_of(command: Sequence[str | Path], environment: Mapping[str, str], folder: Path) -> Cost:
    """Run a command in a folder, from its start to its end.

    Raises
    ------
    RuntimeError
        If it fails; with what it said.
    """
    done = subprocess.run(
        [sys.executable, "-I", __file__, *command],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"`{' '.join(map(str, command))}` failed:\n{done.stderr}")
    return Cost(**json.loads(done.stdout))


def _run(command: Sequence[str]) -> Cost:
    started = perf_counter()
    process = subprocess.Popen(command, stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    wall = perf_counter() - started
    if status:
        sys.exit(1)
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    print(json.dumps(asdict(_run(sys.argv[1:]))))
