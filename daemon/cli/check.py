"""`stemd check`."""

import click

from stemd.daemon.cli.options import ConfigSource, with_config
from stemd.daemon.cli.terminal import echo
from stemd.daemon.config_file import existing_default_path


@click.command()
@with_config()
def check(source: ConfigSource) -> None:
    """Check the configuration.

    Every error is named at once, one line for each; the exit code is then 2.
    """
    from stemd.daemon.engine.networks import find_networks

    stems = source.load().separation.stems
    if stems != "auto":
        find_networks(stems)
    read = source.path or existing_default_path()
    echo(f"the configuration is right ({read or 'no file: the defaults'})")
