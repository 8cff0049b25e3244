"""The commands that steer a running daemon: status, set, bypass, reload, stop, events."""

import re
from collections.abc import Iterable
from contextlib import redirect_stderr, suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from click.shell_completion import CompletionItem

from stemd.daemon.cli.options import Choice, NamedPath, Seconds, json_option, values_of
from stemd.daemon.cli.program import as_typed
from stemd.daemon.cli.terminal import echo, echo_json
from stemd.daemon.config import Config
from stemd.daemon.config_file import load_config
from stemd.daemon.control import bad_samples
from stemd.daemon.control.mixer import MAX_DB, OFF_DB, Strip
from stemd.daemon.errors import ConfigError, StemdError
from stemd.daemon.graph.port_matches import in_words
from stemd.daemon.ports import STEMS, UNCONNECTED, is_fed
from stemd.daemon.presets import PresetName
from stemd.daemon.sound_device import DeviceMode
from stemd.daemon.wording import counted

if TYPE_CHECKING:
    from stemd.daemon.control.client import ControlClient
    from stemd.daemon.control.replies import JoinedStatus, Reloaded, Status

GAIN = re.compile(r"(?P<number>[-+]?\d+(\.\d*)?|[-+]?\.\d+)\s*(dB)?", re.IGNORECASE)

COMPLETION_S = 1.0
"""How long completion waits for a daemon."""

NO_CHANGE = (None, None, None)
"""Gain, mute and solo of `stemd set`."""


class Decibels(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5 only
    """A gain in decibels, or off."""

    name = "dB"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read ``-6``, ``-6dB`` or ``off``."""
        if isinstance(value, float):
            return value
        if value.lower() in ("off", "-inf", "-infdb"):
            return OFF_DB
        match = GAIN.fullmatch(value.strip())
        if not match or not OFF_DB <= float(match["number"]) <= MAX_DB:
            self.fail(
                f"{value!r} must be a number of decibels from {OFF_DB:.0f} to {MAX_DB:.0f}, or off",
                param,
                ctx,
            )
        return float(match["number"])


class Stem(Choice):
    """A stem; completed to the stems of the running daemon."""

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click gives it
        incomplete: str,
    ) -> list[CompletionItem]:
        """Return the stems that begin so; of all possible stems, where no daemon answers."""
        stems: Iterable[str] = STEMS
        with (
            suppress(StemdError),
            redirect_stderr(StringIO()),  # on a line that is being typed
            connect(ctx.params.get("socket"), COMPLETION_S) as client,
        ):
            stems = client.status().mixer or STEMS
        return [CompletionItem(stem) for stem in stems if stem.startswith(incomplete)]


socket_option = click.option(
    "--socket",
    type=NamedPath(),
    help="Path of the daemon's socket; by default that of your configuration, or of the "
    "system-wide service.",
)


@click.command()
@socket_option
@json_option
def status(socket: Path | None, as_json: bool) -> None:
    """Show the state of a running daemon.

    docs/control.md explains each field of the JSON.
    """
    with connect(socket) as client:
        if as_json:
            echo_json(client.ask("status"), indent=2)  # also what only a later version replies
        else:
            echo(*map(as_typed, _in_words(client.status())))


@click.command("set")
@click.argument("stem", type=Stem(STEMS))
@socket_option
@click.option(
    "--gain", type=Decibels(), help="For example -6dB, 3 or off; 0 dB leaves the level unchanged."
)
@click.option("--mute/--unmute", default=None, help="Mute the stem, or unmute it.")
@click.option(
    "--solo/--unsolo",
    default=None,
    help="Solo the stem (only soloed stems are heard), or end its solo.",
)
@click.option(
    "--learn",
    type=Choice(["gain", "mute", "solo"]),
    help="Bind this setting to the next MIDI controller that moves.",
)
@click.option("--fine", is_flag=True, help="With --learn gain: a controller of 14 bits.")
@click.option("--toggles", is_flag=True, help="With --learn: each press toggles.")
def set_stem(
    stem: str,
    socket: Path | None,
    gain: float | None,
    mute: bool | None,
    solo: bool | None,
    learn: str | None,
    fine: bool,
    toggles: bool,
) -> None:
    """Change a stem's gain, mute or solo.

    Give at least one of these options. Prints all three settings afterwards.
    """
    if learn:
        if (gain, mute, solo) != NO_CHANGE:
            raise click.UsageError(
                "--learn excludes --gain, --mute and --solo: the controller will set them"
            )
        learn_controller(socket, does=learn, stem=stem, fine=fine, toggles=toggles)
        return
    if fine or toggles:
        raise click.UsageError("--fine and --toggles need --learn: they describe the controller")
    if (gain, mute, solo) == NO_CHANGE:
        raise click.UsageError(
            "give at least one of --gain, --mute, --unmute, --solo, --unsolo, --learn"
        )
    with connect(socket) as client:
        echo(f"{stem}: {_strip_in_words(client.set(stem, gain, mute, solo))}")


@click.command()
@click.argument("what", type=Choice(["on", "off", "toggle"]), required=False)
@socket_option
@click.option("--learn", is_flag=True, help="Bind bypass to the next MIDI controller that moves.")
@click.option("--toggles", is_flag=True, help="With --learn: each press toggles.")
def bypass(what: str | None, socket: Path | None, learn: bool, toggles: bool) -> None:
    """Switch between the input and the stems.

    The input has the same delay as the stems, so the music does not jump.
    """
    if learn:
        if what:
            raise click.UsageError(f"--learn excludes {what}: the controller will switch it")
        learn_controller(socket, does="bypass", toggles=toggles)
        return
    if toggles:
        raise click.UsageError("--toggles needs --learn: it describes the controller")
    with connect(socket) as client:
        is_on = client.bypass({"on": True, "off": False}.get(what or "toggle"))
    echo(f"bypass: {'on' if is_on else 'off'}")


@click.command()
@click.argument("mode", type=values_of("jack.device"), required=False)
@socket_option
@json_option
def device(mode: DeviceMode | None, socket: Path | None, as_json: bool) -> None:
    """Make stemd a sound device, or end that.

    off: no sound device; players use the speakers again. output: a device that you can choose as
    the output in the sound settings. all: everything that plays to the default output goes through
    stemd. Without an argument, shows the present state.
    """
    with connect(socket) as client:
        found = client.device(mode)
    if as_json:
        echo_json(vars(found))
    else:
        echo(f"device: {found.in_words()}")


@click.command()
@socket_option
@click.option(
    "--preset",
    type=Choice(get_args(PresetName)),
    help="Use this preset instead of the configuration's, until the next reload.",
)
def reload(socket: Path | None, preset: PresetName | None) -> None:
    """Read the configuration again.

    If it has an error, nothing changes.
    """
    with connect(socket) as client:
        echo(*_changes_in_words(client.reload(preset)))


@click.command()
@socket_option
def stop(socket: Path | None) -> None:
    """Stop the running daemon.

    Waits until it has ended.
    """
    with connect(socket) as client:
        client.stop()


@click.command()
@socket_option
@click.option("--meters", type=Seconds(0.02, 60), help="Print levels too; the interval in seconds.")
def events(socket: Path | None, meters: float | None) -> None:
    """Print events until the daemon ends.

    Each event is one line of JSON.
    """
    with connect(socket) as client:
        for event in client.listen(meters):
            echo_json(event)


def learn_controller(socket: Path | None, **wish: Any) -> None:
    """Bind the next controller or pad that moves, and print its binding."""
    with connect(socket) as client:
        echo("move the controller …", err=True)
        echo(client.learn(**wish).in_words())


def connect(path: Path | None, patience_s: float | None = None) -> "ControlClient":
    """Connect to the daemon.

    Parameters
    ----------
    path : Path, optional
        Of its socket; by default where the configuration, or the system-wide service, has it.
    patience_s : float, optional
        How long to wait for each answer.

    Raises
    ------
    StemdError
        No daemon answers there, or the configuration has no socket.
    """
    from stemd.daemon.control.client import ANSWER_S, ControlClient
    from stemd.daemon.control.socket_paths import find_socket

    if path is None:
        config = _own_config()
        path = find_socket(config.control.socket, config.jack.client_name)
    if path is None:
        raise StemdError("the configuration has no control socket: set control.socket to auto")
    return ControlClient(path, patience_s or ANSWER_S)


def _own_config() -> Config:
    """Return the user's configuration; a wrong one must not keep a daemon from being muted."""
    try:
        return load_config(None)
    except ConfigError as error:
        echo(*str(error).split("\n"), "so this command uses the defaults", err=True)
        return Config()


def _changes_in_words(reloaded: "Reloaded") -> list[str]:
    lines = [f"changed: {', '.join(reloaded.changed) or 'nothing'}"]
    if reloaded.at_next_start:
        lines.append(f"at the next start: {', '.join(reloaded.at_next_start)}")
    return lines


def _in_words(status: "Status") -> list[str]:
    from stemd.daemon.control.replies import JoinedStatus

    joined = status if isinstance(status, JoinedStatus) else None
    recording, why = status.recording, status.why_precision
    return [
        f"stemd {status.version}: {status.state}",
        *([f"server: {status.trouble}"] if status.trouble else []),
        *(f"not open: {name}: {reason}" for name, reason in status.not_open.items()),
        *(_server_in_words(joined) if joined else []),
        f"networks: {status.networks or 'not loaded'}, preset {status.preset}, {status.precision}",
        *([f"precision: {status.precision}, because {why}"] if why else []),
        *(f"{stem}: {_strip_in_words(strip)}" for stem, strip in status.mixer.items()),
        *(["bypass: on"] if status.bypass else []),
        *([f"device: {status.device.in_words()}"] if status.device.mode != "off" else []),
        *([f"recording: {recording.in_words()}"] if recording.on or recording.trouble else []),
        *(_playing_in_words(joined) if joined else []),
    ]


def _server_in_words(status: "JoinedStatus") -> list[str]:
    server, delay = status.server, status.delay
    return [
        f"server: {server.name}, {server.samplerate} Hz, {server.period} frames a period, "
        f"{counted(server.xruns, 'xrun')}",
        f"delay: {delay.frames} frames ({delay.seconds:.3f} s)",
    ]


def _playing_in_words(status: "JoinedStatus") -> list[str]:
    loads = ", ".join(f"{thread} {share:.0%}" for thread, share in status.load.items())
    blocks, rights = status.blocks, status.realtime
    return [
        f"load: {loads} of one core",
        f"late: {blocks.late} of {blocks.total} blocks, "
        f"{counted(status.engine.late_periods, 'period')}",
        *filter(None, [bad_samples.in_words(status)]),
        "; ".join(filter(None, (rights.found, rights.remedy))),
        *([] if is_fed(status.server.client, status.connections) else [UNCONNECTED]),
        *(f"connected: {source} to {destination}" for source, destination in status.connections),
        *(
            f"left disconnected: {source} to {destination} (stemd reload connects it again)"
            for source, destination in status.disconnected
        ),
        *(in_words(own, found) for own, found in status.autoconnect.items()),
    ]


def _strip_in_words(strip: Strip) -> str:
    gain = "off" if strip.gain <= OFF_DB else f"{strip.gain:+.1f} dB"
    return ", ".join([gain, *(what for what in ("mute", "solo") if getattr(strip, what))])
