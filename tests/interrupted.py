"""A command line that is interrupted as it imports its n-th module."""

import subprocess
import sys
from collections.abc import Mapping

_PROGRAM = """
import os, signal, sys
from stemd.daemon.cli import start

class Finder:
    left = int(sys.argv[1])

    def find_spec(self, *_):
        Finder.left -= 1
        if Finder.left == 0:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.argv = ["stemd", *sys.argv[2:]]
start.main()
"""


def run(
    n: int, arguments: list[str], environment: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Run `stemd ARGUMENTS` with SIGINT when the n-th module is looked for."""
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(n), *arguments],
        env=dict(environment),
        capture_output=True,
        text=True,
    )
