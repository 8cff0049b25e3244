"""`stemd bench`."""

import click

from stemd.daemon.cli.options import ConfigSource, json_option, with_config


@click.command()
@with_config("networks", "stems", "precision")
@json_option
def bench(source: ConfigSource, as_json: bool) -> None:
    """Measure which preset this machine holds.

    Networks, signal processing and memory are measured for each preset.
    """
    from stemd.daemon.cli.bench_report import print_report

    print_report(source.load().separation, as_json)
