"""Checks of a running daemon, for `stemd doctor`: what it answers to ``status``."""

from collections.abc import Iterator

from stemd.daemon.control import bad_samples
from stemd.daemon.control.client import ControlClient
from stemd.daemon.control.replies import JoinedStatus, Status
from stemd.daemon.control.socket_paths import find_socket, listens
from stemd.daemon.errors import StemdError
from stemd.daemon.findings import Finding, bad, good, hint
from stemd.daemon.wording import counted

ANSWER_S = 5.0
"""How long to wait for a daemon's answer: one that takes longer hangs."""

MOST_LATE = 0.001
"""The share of blocks that may be late without a hint."""


def ask_daemon(socket: str, client_name: str) -> Status | Finding:
    """Return the status of a running daemon, or why there is none.

    Parameters
    ----------
    socket, client_name : str
        control.socket and jack.client_name.
    """
    try:
        path = find_socket(socket, client_name)
        if path is None or not listens(path):
            return good("daemon", "none runs" if path else "not asked (control.socket: off)")
        with ControlClient(path, ANSWER_S) as client:
            return client.status()
    except StemdError as error:
        return hint("daemon", str(error))


def judge_status(status: Status) -> Finding:
    """Judge whether a running daemon keeps up."""
    if not isinstance(status, JoinedStatus):
        trouble = f": {status.trouble}" if status.trouble else ""
        return hint("daemon", f"{status.state} for a server{trouble}")
    blocks, late_periods = status.blocks, status.engine.late_periods
    found = (
        f"{status.state} on {status.server.name}, {blocks.late} of {blocks.total} blocks and "
        f"{counted(late_periods, 'period')} late, {counted(status.server.xruns, 'xrun')}"
    )
    if blocks.late > MOST_LATE * blocks.total:
        return hint("daemon", found, "`stemd bench` shows which presets this machine holds")
    if replaced := bad_samples.in_words(status):
        return hint("daemon", f"{found}; {replaced}", bad_samples.REMEDY)
    if late_periods:
        return hint("daemon", found, "real-time priority and locked memory help; see above")
    return good("daemon", found)


def judge_interfaces(status: Status) -> Iterator[Finding]:
    """Yield each interface that is switched on and not open."""
    for name, reason in status.not_open.items():
        yield bad(name, f"switched on, but not open: {reason}", "correct that, and restart stemd")


def judge_device(status: Status) -> Iterator[Finding]:
    """Judge whether stemd is the sound device that is wanted; yield nothing if none is."""
    device = status.device
    if device.mode == "off":
        return
    if device.trouble:
        yield hint("sound device", device.in_words())
    else:
        yield good("sound device", device.in_words())


def load_in_words(status: JoinedStatus) -> str:
    """Return the share of one core that each thread of a daemon that plays takes."""
    return ", ".join(f"{thread} {share:.0%}" for thread, share in status.load.items())
