"""Runs systemd's commands, and explains why one fails."""

import subprocess
from pathlib import Path

from stemd.daemon.errors import StemdError

COMMAND_S = 120.0
"""How long a command of systemd's may take."""

START_S = 660.0
"""How long one may take that waits until the service has started; longer than TimeoutStartSec= in
the units, for at its first start stemd measures the machine."""

BOOTED = Path("/run/systemd/system")
"""The folder that is there where systemd is the first process; see sd_booted(3)."""

ANOTHER_WAY = "have another program start `stemd run`, such as the autostart of the desktop"
"""What to do without systemd."""


def run(command: list[str], patience_s: float | None = None) -> str:
    """Return what a command of systemd's prints; it may take `COMMAND_S` by default.

    Raises
    ------
    StemdError
        It fails, or does not end in time.
    """
    words, patience_s = " ".join(command), patience_s or COMMAND_S
    try:
        ended = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=patience_s
        )
    except FileNotFoundError:
        raise StemdError(
            f"there is no {command[0]}: this machine has no systemd; {ANOTHER_WAY}"
        ) from None
    except subprocess.TimeoutExpired:
        raise StemdError(
            f"{words} did not end in {patience_s:.0f} s: systemd hangs, or waits for another job "
            "(systemctl list-jobs shows it)"
        ) from None
    if ended.returncode:
        reason = ended.stderr.strip() or f"exit code {ended.returncode}"
        is_unreached = "Failed to connect to" in reason
        if "not been booted with systemd" in reason or (is_unreached and not BOOTED.exists()):
            raise StemdError(f"systemd does not run on this machine; {ANOTHER_WAY}")
        if is_unreached and "--user" in command:
            raise StemdError(
                f"no service manager runs for this user ({reason}): log in on the desktop or by "
                "ssh, not by su or sudo, or run: sudo loginctl enable-linger $USER"
            )
        raise StemdError(f"{words} failed: {reason}")
    return ended.stdout
