"""`stemd template`: layouts for programs that steer stemd by OSC."""

from pathlib import Path

import click

from stemd.daemon.cli.options import Choice, NamedPath
from stemd.daemon.cli.steer import connect, socket_option
from stemd.daemon.cli.terminal import echo
from stemd.daemon.control.surfaces import LAYOUTS
from stemd.daemon.errors import StemdError
from stemd.tflite_models.families import releases
from stemd.tflite_models.files import write_whole

STEMS = {str(len(release.stems)): release.stems for release in releases().values()}
"""The stems of a set, by their number."""


@click.command()
@click.argument("program", type=Choice([*LAYOUTS]))
@click.argument("file", type=NamedPath(dir_okay=False), required=False)
@click.option(
    "--stems",
    type=Choice([*STEMS]),
    help="For a set of so many stems; by default for the stems of the running stemd.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
@socket_option
def template(
    program: str, file: Path | None, stems: str | None, force: bool, socket: Path | None
) -> None:
    """Write faders and buttons for OSC programs.

    They are a session for Open Stage Control, or a layout for TouchOSC, in FILE (stemd.json,
    stemd.tosc). docs/control.md says what to set in these programs.
    """
    suffix, layout = LAYOUTS[program]
    file = file or Path(f"stemd.{suffix}")
    names = [*STEMS[stems]] if stems else _stems_of_running(socket)
    if file.exists() and not force:
        raise StemdError(f"{file} is there already: give another name, or --force")
    try:
        write_whole(file, layout(names))
    except OSError as error:  # a full disk has no name
        raise OSError(error.errno, error.strerror, str(file)) from error
    echo(f"{file}: {', '.join(names)}")


def _stems_of_running(socket: Path | None) -> list[str]:
    with connect(socket) as client:
        return client.status().stems
