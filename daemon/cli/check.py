"""`stemd check`."""

import click

from stemd.daemon.cli.options import ConfigSource, with_config
from stemd.daemon.cli.terminal import echo
from stemd.daemon.config_file import existing_default_path


@click.command()
@with_config()
def check(source: ConfigSource) -> None:
    """Check the configuration.

    Prints all errors, one on each line. The exit code is 2 if there are any, and 1 if only networks
    are damaged.
    """
    from stemd.daemon.supervisor.problems import refuse_problems

    refuse_problems(source.read())
    read = source.path or existing_default_path()
    echo(f"the configuration is right ({read or 'no file: the defaults'})")
