"""`stemd doctor`."""

import click

from stemd.daemon.cli.options import ConfigSource, Seconds, json_option, with_config


@click.command()
@with_config()
@click.option(
    "--seconds",
    type=Seconds(0, 3600),
    default=5,
    show_default=True,
    help="How long to play and measure; 0: do not play.",
)
@json_option
def doctor(source: ConfigSource, seconds: float, as_json: bool) -> None:
    """Show problems, with their remedies.

    Plays inaudible noise through a daemon on the running audio server, and measures; if a daemon
    already runs, that one is measured instead. The exit code is 1 if something is wrong (✗).
    """
    from stemd.daemon.cli.examination import print_findings

    print_findings(source, seconds, as_json)
