"""Machines that boot with systemd, and their users."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from waiting import wait_until

BOOT = Path(__file__).parent / "service" / "boot.sh"
CHECKOUT = Path(__file__).parents[1]
STEMD = Path(sys.executable).with_name("stemd")

UNSHARED = ("--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup", "--kill-child")

UP = ("running", "degraded")
USER, USER_ID = "musician", "7331"

JACK = """\
[Service]
ExecStart=/usr/bin/jackd --no-realtime --port-max 128 -d dummy -r 48000 -p 256
Restart=always
[Install]
WantedBy=default.target
"""


class Machine:
    """A root file system that boots; what it changes is kept for the next boot.

    Parameters
    ----------
    scratch : Path
        The folder that keeps it.
    root : Path
        By default this machine's own, with the checkout in it.
    user_id : str
        The number of the user.
    """

    def __init__(self, scratch: Path, root: Path | None = None, user_id: str = USER_ID) -> None:
        self._scratch = scratch
        self._roots = [root] if root else ["/", CHECKOUT]
        self._user_id = user_id
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0

    def boot(self) -> None:
        """Start it, and wait until it is up."""
        with (self._scratch / "console").open("ab") as console:
            self._process = subprocess.Popen(
                ["unshare", *UNSHARED, BOOT, self._scratch, *self._roots],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        wait_until(lambda: self._process.poll() is not None or children.read_text().strip())
        assert self._process.poll() is None, (self._scratch / "console").read_text()
        self._init = int(children.read_text())
        wait_until(lambda: self.run("systemctl", "is-system-running").stdout.strip() in UP)

    def halt(self) -> None:
        """Stop it, as a shutdown does."""
        if self._process:
            os.kill(self._init, signal.SIGRTMIN + 4)  # poweroff.target: see systemd(1)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def run(self, *command: object, user: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a command there."""
        inside = ["nsenter", "-t", self._init, "-a", "-r", "-w"]
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        home = f"/home/{user}" if user else "/root"
        environment = {
            "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": home,
            "USER": user or "root",
            "XDG_RUNTIME_DIR": f"/run/user/{self._user_id if user else 0}",
        }
        pairs = [f"{key}={value}" for key, value in environment.items()]
        return subprocess.run(
            [str(part) for part in (*inside, *as_user, "env", "-i", *pairs, *command)],
            capture_output=True,
            text=True,
            timeout=120,
        )


class User:
    """Somebody on a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def __call__(self, *command: object) -> str:
        """Run a command that succeeds; return what it says."""
        ended = self.machine.run(*command, user=USER)
        assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def property(self, name: str) -> str:
        """Return what the service manager knows of stemd."""
        return self("systemctl", "--user", "show", "stemd", f"--property={name}", "--value").strip()
