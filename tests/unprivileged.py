"""Programs without real-time rights, as ordinary users have them; message buses."""

import os
import select
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

from logged import Log
from waiting import PATIENCE_S

AUTH_TIMEOUT_MS = 30_000
"""How long a bus waits until a connection authenticates: on a busy machine that may take long."""

SOON_MS = 300
"""For a bus that is to lose patience."""

BUS = """<busconfig>
  <type>{kind}</type>
  <listen>unix:path={path}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
    <allow user="*"/>
  </policy>
  <limit name="auth_timeout">{timeout}</limit>
</busconfig>
"""


def without_rights() -> list[str]:
    """What a command is to begin with."""
    command = ["prlimit", "--rtprio=0", "--nice=0"]
    if os.geteuid() == 0:
        command += ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    return command


class Bus:
    """A message bus that closes connections which do not authenticate in time."""

    def __init__(self, kind: str, folder: Path, auth_timeout_ms: int = AUTH_TIMEOUT_MS) -> None:
        self.path = folder / f"{kind}-bus"
        self.environment = {f"DBUS_{kind.upper()}_BUS_ADDRESS": f"unix:path={self.path}"}
        self._config = folder / f"{kind}.conf"
        text = BUS.format(kind=kind, path=self.path, timeout=auth_timeout_ms)
        self._config.write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.path.unlink(missing_ok=True)
        command = ["dbus-daemon", f"--config-file={self._config}", "--nofork", "--print-address"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        Log(self._process.stdout).wait_for("unix:path=")

    def wait_for_patience_to_end(self) -> None:
        """Wait for as long as the bus does for one that says nothing."""
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(self.path))
            assert select.select([silent], [], [], PATIENCE_S)[0], "the bus waits for ever"
            assert silent.recv(1) == b""

    def end(self) -> None:
        """End it."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None


@contextmanager
def buses(folder: Path, auth_timeout_ms: int = AUTH_TIMEOUT_MS):
    """A session bus and a system bus."""
    both = [Bus(kind, folder, auth_timeout_ms) for kind in ("session", "system")]
    try:
        for bus in both:
            bus.start()
        yield both
    finally:
        for bus in both:
            bus.end()
