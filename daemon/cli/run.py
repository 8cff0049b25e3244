"""`stemd run`."""

from dataclasses import replace

import click

from stemd.daemon.cli.options import ConfigSource, with_config


@click.command()
@with_config("server", "server_name", "device", "networks", "stems", "preset")
@click.option("--no-autoconnect", is_flag=True, help="Connect no ports; ignore jack.autoconnect.")
def run(source: ConfigSource, no_autoconnect: bool) -> None:
    """Run the daemon in the foreground."""
    from stemd.daemon.supervisor.app import run as run_daemon

    if no_autoconnect:
        source = replace(source, settings=(*source.settings, "jack.autoconnect={}"))
    run_daemon(source.load)
