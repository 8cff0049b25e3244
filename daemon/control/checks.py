"""Checks of a running daemon, for `stemd doctor`: what it answers to ``status``."""

from collections.abc import Callable
from typing import Any, TypeAlias

from stemd.daemon.control.client import ControlClient, reading
from stemd.daemon.control.socket_paths import find_socket, listens
from stemd.daemon.engine import bad_samples
from stemd.daemon.errors import StemdError
from stemd.daemon.findings import Finding, good, hint
from stemd.daemon.wording import counted

ANSWER_S = 5.0
"""How long to wait for a daemon's answer: one that takes longer hangs."""

MUCH = 0.001
"""The share of blocks that may be late without a hint."""

Status: TypeAlias = dict[str, Any]
"""What a daemon answers to ``status``."""


def ask_daemon(
    socket: str, client_name: str, judge: Callable[[Status], object]
) -> Status | Finding:
    """Return the status of a running daemon, or why there is none.

    Parameters
    ----------
    socket, client_name : str
        control.socket and jack.client_name.
    judge : callable
        Reads all of the status that is judged later: one of another version may lack something.
    """
    try:
        path = find_socket(socket, client_name)
        if path is None or not listens(path):
            return good("daemon", "none runs" if path else "not asked (control.socket: off)")
        with ControlClient(path, ANSWER_S) as client:
            status: Status = client.ask("status")
        with reading(status):
            judge(status)
    except StemdError as error:
        return hint("daemon", str(error))
    return status


def judge_status(status: Status) -> Finding:
    """Judge whether a running daemon keeps up."""
    if status["server"] is None:
        trouble = f": {status['trouble']}" if status.get("trouble") else ""
        return hint("daemon", f"{status['state']} for a server{trouble}")
    server, blocks = status["server"], status["blocks"]
    late_periods = status["engine"]["late_periods"]
    found = (
        f"{status['state']} on {server['name']}, {blocks['late']} of {blocks['total']} blocks and "
        f"{counted(late_periods, 'period')} late, {counted(server['xruns'], 'xrun')}"
    )
    if blocks["late"] > MUCH * blocks["total"]:
        return hint("daemon", found, "`stemd bench` shows which presets this machine holds")
    if replaced := bad_samples.in_words(status):
        return hint("daemon", f"{found}; {replaced}", bad_samples.REMEDY)
    if late_periods:
        return hint("daemon", found, "real-time priority and locked memory help; see above")
    return good("daemon", found)


def load_in_words(status: Status) -> str:
    """Return the share of one core that each thread of a daemon that plays takes."""
    return ", ".join(f"{thread} {share:.0%}" for thread, share in status["load"].items())
