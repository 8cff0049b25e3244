"""Programs that stemd starts, which end with it, and how it ends them."""

import os
import shutil
import signal
import subprocess

STOP_S = 5.0
"""How long a program may take to stop before it is killed."""

UNLESS_ORPHANED = '[ "$PPID" = "$0" ] && exec "$@"'
"""A shell command that starts a program, unless stemd has ended before the kernel was asked."""


def ended_with_stemd(number: signal.Signals = signal.SIGTERM) -> list[str]:
    """Return what a command begins with so that the kernel ends it when stemd is killed.

    The thread that starts it must be the main thread: the kernel waits for that thread's end.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return []
    name = number.name.removeprefix("SIG")
    return [setpriv, "--pdeathsig", name, "sh", "-c", UNLESS_ORPHANED, str(os.getpid())]


def end_process(process: "subprocess.Popen[bytes]", patience_s: float = STOP_S) -> None:
    """Terminate a process, and kill it if it does not end in time."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
