"""Runs systemd's commands, and explains why one fails."""

import subprocess

from stemd.daemon.errors import StemdError

COMMAND_S = 120.0
"""How long a command of systemd's may take: systemctl waits until a service has started."""

ANOTHER_WAY = "have another program start `stemd run`, such as the autostart of the desktop"
"""What to do without systemd."""


def run(command: list[str]) -> str:
    """Return what a command of systemd's prints.

    Raises
    ------
    StemdError
        It fails, or does not end in time.
    """
    words = " ".join(command)
    try:
        ended = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=COMMAND_S
        )
    except FileNotFoundError:
        raise StemdError(
            f"there is no {command[0]}: this machine has no systemd; {ANOTHER_WAY}"
        ) from None
    except subprocess.TimeoutExpired:
        raise StemdError(
            f"{words} did not end in {COMMAND_S:.0f} s: systemd hangs, or waits for another job "
            "(systemctl list-jobs shows it)"
        ) from None
    if ended.returncode:
        reason = ended.stderr.strip() or f"exit code {ended.returncode}"
        if "not been booted with systemd" in reason:
            raise StemdError(f"systemd does not run on this machine; {ANOTHER_WAY}")
        if "Failed to connect to" in reason and "--user" in command:
            raise StemdError(
                f"no service manager runs for this user ({reason}): log in on the desktop or by "
                "ssh, not by su or sudo, or run: sudo loginctl enable-linger $USER"
            )
        raise StemdError(f"{words} failed: {reason}")
    return ended.stdout
