"""`stemd bench`."""

import click

from stemd.daemon.cli.options import ConfigSource, json_option, with_config


@click.command()
@with_config("networks", "stems", "precision")
@json_option
def bench(source: ConfigSource, as_json: bool) -> None:
    """Measure which presets this machine can play.

    Prints the load of the networks and of the signal processing, and the memory, of each preset.
    """
    from stemd.daemon.cli.bench_report import print_report

    print_report(source.load().separation, as_json)
