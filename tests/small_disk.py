"""A disk with little room, in a process of its own.

A mount of its own where that is allowed (as root, or where users may have name spaces); elsewhere
a limit on the size of files, which fails a write in the same place with another errno.
"""

import subprocess
import sys
from pathlib import Path

_PROLOGUE = """
import resource, subprocess, sys
from pathlib import Path
folder = Path(sys.argv[1])
def limit(kib):
    if {mounted}:
        subprocess.run(["umount", folder], stderr=subprocess.DEVNULL)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={{kib}}k", "none", folder]
        subprocess.run(mount, check=True)
    else:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (kib << 10, hard))
"""


def run(folder: Path, program: str, *arguments: str) -> str:
    """Run a Python program with the folder on such a disk; give what it prints.

    The program has `folder`, and `limit(kib)` to give it an empty disk of that size; its own
    arguments begin at `sys.argv[2]`.
    """
    folder.mkdir()
    ways = (["unshare", "-m"], ["unshare", "-rm"])
    prefix = next((way for way in ways if _may_mount(way, folder)), [])
    whole = _PROLOGUE.format(mounted=bool(prefix)) + program
    done = subprocess.run(
        [*prefix, sys.executable, "-c", whole, folder, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _may_mount(way: list[str], folder: Path) -> bool:
    try:
        done = subprocess.run([*way, "mount", "-t", "tmpfs", "none", folder], capture_output=True)
    except FileNotFoundError:
        return False
    return done.returncode == 0
