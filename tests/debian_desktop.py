"""Debian as a desktop brings it, which takes what is installed, and forgets it."""

import os
import subprocess
from pathlib import Path

from desktop_session import SPEAKERS

RELEASES = {"bookworm": 12, "trixie": 13}
"""The number of each suite that the package is for."""

SCRIPT = Path(__file__).with_name("userland.sh")


class Desktop:
    """One with an ordinary user, and speakers that can be recorded.

    Parameters
    ----------
    suite : str
    changes : Path
        The folder that keeps what is written to it.
    """

    def __init__(self, suite: str, changes: Path) -> None:
        self.suite = suite
        self.changes = changes
        self._run("make", "desktop")
        speakers = self.path("etc/pipewire/pipewire.conf.d/speakers.conf")
        speakers.parent.mkdir(parents=True)
        speakers.write_text(SPEAKERS)

    @property
    def root(self) -> Path:
        """The root file system, without what is written to it."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = os.environ.get("USERLANDS") or cache / "stemd" / "userlands"
        return Path(folder) / f"desktop-{self.suite}"

    def path(self, inside: str) -> Path:
        """Where a file is that is written to it."""
        return self.changes / "changes" / inside

    def put(self, file: Path, inside: str) -> None:
        """Copy a file into it."""
        place = self.path(inside)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.read_bytes())

    def __call__(self, command: str, user: str = "root") -> str:
        """Run a shell's command that succeeds, with the network; return what it says."""
        return self._run("run", "desktop", "sh", "-ec", command, AS=user)

    def _run(self, *words: str, **more: str) -> str:
        variables = {"SUITE": self.suite, "CHANGES": str(self.changes), **more}
        ended = subprocess.run(
            [SCRIPT, *words], env={**os.environ, **variables}, capture_output=True, text=True
        )
        assert ended.returncode == 0, f"{words}: {ended.stdout}{ended.stderr}"
        return ended.stdout
