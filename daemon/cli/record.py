"""`stemd record`: begin and end a recording of the running daemon."""

from pathlib import Path
from typing import Any, get_args

import click

from stemd.daemon.cli.options import Choice, NamedPath, json_option
from stemd.daemon.cli.steer import connect, learn_controller, socket_option
from stemd.daemon.cli.terminal import echo, echo_json
from stemd.daemon.record_wish import RecordingFormat


@click.command()
@click.argument("folder", metavar="[DIR]", type=NamedPath(file_okay=False), required=False)
@socket_option
@json_option
@click.option("--stop", is_flag=True, help="End the recording, and print what was recorded.")
@click.option(
    "--auto", is_flag=True, help="Begin a take with sound, and end it after silence, until --stop."
)
@click.option(
    "--format",
    type=Choice(get_args(RecordingFormat)),
    help="wav: float samples, exactly what is heard; flac: 24 bits, in smaller files.",
)
@click.option(
    "--before-faders/--as-heard",
    default=None,
    help="Record the stems before gain, mute and solo, or as they are heard.",
)
@click.option(
    "--align/--no-align",
    default=None,
    help="Make the input's file later by the delay, so that it lines up with the stems; or not.",
)
@click.option(
    "--learn", is_flag=True, help="Bind recording to the next MIDI controller or pad that moves."
)
@click.option("--toggles", is_flag=True, help="With --learn: each press toggles.")
def record(
    folder: Path | None, socket: Path | None, as_json: bool, learn: bool, toggles: bool, **how: Any
) -> None:
    """Record the input and the stems into files.

    The recording goes on until `stemd record --stop`. Each take is a folder in DIR, named by the
    time. What is not given here is as recording in the configuration has it.
    """
    stop, wishes = how.pop("stop"), _wishes(folder, **how)
    if stop and wishes:
        raise click.UsageError("--stop excludes DIR and the other options: it only ends")
    if learn and (stop or wishes):
        raise click.UsageError("--learn excludes DIR and the other options: it only binds")
    if learn:
        learn_controller(socket, does="record", toggles=toggles)
        return
    if toggles:
        raise click.UsageError("--toggles needs --learn: it describes the controller")
    with connect(socket) as client:
        found = client.record(not stop, **wishes)
    if as_json:
        echo_json(vars(found))
    else:
        echo(f"recording: {found.in_words()}")


def _wishes(folder: Path | None, auto: bool, **how: Any) -> dict[str, Any]:
    """Return what the daemon is asked for, besides what is configured."""
    wishes = {key: value for key, value in how.items() if value is not None}
    if auto:
        wishes["auto"] = True
    if folder:
        wishes["folder"] = str(folder.absolute())
    return wishes
