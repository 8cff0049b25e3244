"""A 64-bit ARM machine, by emulation."""

import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "arm64"
CHECKOUT = HERE.parents[1]
PORTABLE = "/opt/stemd"
"""Where the tests are, in there."""


class Arm:
    """A Debian for 64-bit ARM."""

    def __init__(self) -> None:
        if os.geteuid():
            pytest.fail("only root may mount what it needs: sudo make arm64-test")
        self.suite = os.environ.get("SUITE", "bookworm")
        self.root = Path(os.environ.get("ARM_ROOT", f"/var/tmp/stemd-arm64-{self.suite}"))
        subprocess.run([HERE / "userland.sh", "make"], check=True)

    def run(
        self, *command: object, check: bool = True, network: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command there, with this machine's network or without any."""
        words = [str(word) for word in command]
        alone = [] if network else ["unshare", "--net"]
        ended = subprocess.run(
            [*alone, HERE / "userland.sh", "run", *words], capture_output=True, text=True
        )
        assert not check or ended.returncode == 0, f"{words}: {ended.stdout}{ended.stderr}"
        return ended

    def put(self, source: Path, target: str) -> None:
        """Copy a file or a folder there."""
        place = self.root / target.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", source, place], check=True)
