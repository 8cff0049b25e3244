"""`stemd web`: the address of the page for phones and browsers, and its QR code."""

from pathlib import Path
from urllib.parse import urlsplit

import click

from stemd.daemon.cli.steer import connect, socket_option
from stemd.daemon.cli.terminal import echo
from stemd.daemon.packages import install_extra

ONLY_HERE = ("127.0.0.1", "localhost", "::1")


@click.command()
@socket_option
def web(socket: Path | None) -> None:
    """Print the address and QR code of the page.

    The page has faders and meters, for phones and other browsers. The address includes the
    password.
    """
    with connect(socket) as client:
        address = client.page_address()
    echo(address)
    if urlsplit(address).hostname in ONLY_HERE:
        remedy = "for a phone, set web.host to 0.0.0.0, and connect this machine to a network"
        echo(f"only this machine reaches it; {remedy}", err=True)
        return
    try:
        import segno
    except ImportError:
        echo(f"the QR code needs segno: {install_extra('web')}", err=True)
        return
    segno.make(address, error="l").terminal(compact=True)
