"""`stemd top`."""

import sys
from pathlib import Path

import click

from stemd.daemon.cli.steer import connect, socket_option
from stemd.daemon.errors import StemdError
from stemd.daemon.packages import install_extra

PATIENCE_S = 2.0
"""How long the page waits for an answer of the daemon's."""


@click.command()
@socket_option
def top(socket: Path | None) -> None:
    """Show meters and faders on the terminal."""
    if not sys.stdout.isatty():
        raise StemdError("stemd top needs a terminal; stemd status prints the same once")
    try:
        from stemd.daemon.cli.top_page import TopPage
    except ImportError:
        raise StemdError(f"stemd top needs textual: {install_extra('top')}") from None
    with connect(socket):
        pass  # fail at once where no daemon runs
    TopPage(lambda: connect(socket, PATIENCE_S)).run()
