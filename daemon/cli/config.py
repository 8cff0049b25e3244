"""`stemd config`."""

import click

from stemd.daemon.cli.options import ConfigSource, with_config
from stemd.daemon.cli.terminal import echo


@click.command()
@with_config()
def config(source: ConfigSource) -> None:
    """Print the effective configuration."""
    echo(*source.load().as_yaml().splitlines())
