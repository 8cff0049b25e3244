"""The commands that steer a running daemon: status, set, bypass, reload, stop, events."""

import re
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from stemd.daemon.cli.options import Choice, Seconds, json_option
from stemd.daemon.cli.terminal import echo, echo_json
from stemd.daemon.config import Config
from stemd.daemon.config_file import load_config
from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.mixer import MAX_DB, OFF_DB
from stemd.daemon.engine import bad_samples
from stemd.daemon.errors import ConfigError, StemdError
from stemd.daemon.graph.port_matches import in_words
from stemd.daemon.ports import STEMS
from stemd.daemon.wording import counted

if TYPE_CHECKING:
    from stemd.daemon.control.client import ControlClient

GAIN = re.compile(r"(?P<number>[-+]?\d+(\.\d*)?|[-+]?\.\d+)\s*(dB)?", re.IGNORECASE)

Read = TypeVar("Read")

COMPLETION_S = 1.0
"""How long completion waits for a daemon."""


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
        with suppress(StemdError), redirect_stderr(StringIO()):  # on a line that is being typed
            told = _ask(ctx.params.get("socket"), "status", COMPLETION_S)
            stems = _read(told, lambda told: list(told["mixer"])) or STEMS
        return [CompletionItem(stem) for stem in stems if stem.startswith(incomplete)]


socket_option = click.option(
    "--socket",
    type=click.Path(path_type=Path),
    help="Path of the daemon's socket; by default the one of your configuration, or that of the "
    "system-wide service.",
)


@click.command()
@socket_option
@json_option
def status(socket: Path | None, as_json: bool) -> None:
    """Show the state of a running daemon.

    docs/control.md explains each field of the JSON.
    """
    told = _ask(socket, "status")
    if as_json:
        echo_json(told, indent=2)
        return
    echo(*_read(told, _in_words))


@click.command("set")
@click.argument("stem", type=Stem(STEMS))
@socket_option
@click.option(
    "--gain", type=Decibels(), help="For example -6dB, 3 or off; 0 dB leaves the level unchanged."
)
@click.option("--mute/--unmute", default=None, help="Mute the stem, or unmute it.")
@click.option(
    "--solo/--unsolo", default=None, help="Play only this stem and other soloed ones, or no longer."
)
@click.option(
    "--learn",
    type=Choice(["gain", "mute", "solo"]),
    help="Bind the next MIDI controller that moves to this.",
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

    Prints all three afterwards.
    """
    change = {"gain": gain, "mute": mute, "solo": solo}
    if learn:
        if any(value is not None for value in change.values()):
            raise click.UsageError(
                "--learn excludes --gain, --mute and --solo: the controller will set them"
            )
        _learn(socket, does=learn, stem=stem, fine=fine, toggles=toggles)
        return
    if fine or toggles:
        raise click.UsageError("--fine and --toggles need --learn: they describe the controller")
    if all(value is None for value in change.values()):
        raise click.UsageError("give at least one of --gain, --mute, --unmute, --solo, --unsolo")
    echo(f"{stem}: {_read(_ask(socket, 'set', stem=stem, **change), _strip_in_words)}")


@click.command()
@click.argument("what", type=Choice(["on", "off", "toggle"]), required=False)
@socket_option
@click.option("--learn", is_flag=True, help="Bind the next MIDI controller that moves to bypass.")
@click.option("--toggles", is_flag=True, help="With --learn: each press toggles.")
def bypass(what: str | None, socket: Path | None, learn: bool, toggles: bool) -> None:
    """Switch between the input and the stems.

    The input is delayed like the stems, so nothing jumps.
    """
    if learn:
        if what:
            raise click.UsageError(f"--learn excludes {what}: the controller will switch it")
        _learn(socket, does="bypass", toggles=toggles)
        return
    if toggles:
        raise click.UsageError("--toggles needs --learn: it describes the controller")
    told = _ask(socket, "bypass", on={"on": True, "off": False}.get(what or "toggle"))
    echo(f"bypass: {_read(told, lambda told: 'on' if told['on'] else 'off')}")


@click.command()
@socket_option
def reload(socket: Path | None) -> None:
    """Read the configuration again.

    If it is wrong, nothing changes.
    """
    echo(*_read(_ask(socket, "reload"), _changes_in_words))


@click.command()
@socket_option
def stop(socket: Path | None) -> None:
    """Stop the running daemon.

    Waits until it has ended.
    """
    with connect(socket) as client:
        client.ask("stop")
        client.wait_for_end()


@click.command()
@socket_option
@click.option("--meters", type=Seconds(0.02, 60), help="Print levels too, every so many seconds.")
def events(socket: Path | None, meters: float | None) -> None:
    """Print events until the daemon ends.

    Each event is one line of JSON.
    """
    with connect(socket) as client:
        for event in client.events(meters):
            echo_json(event)


def _learn(socket: Path | None, **wish: Any) -> None:
    with connect(socket) as client:
        echo("move the controller …", err=True)
        echo(_read(client.ask("learn", **wish), lambda told: Binding(**told).in_words()))


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


def _ask(
    path: Path | None, do: str, patience_s: float | None = None, **arguments: Any
) -> dict[str, Any]:
    with connect(path, patience_s) as client:
        result: dict[str, Any] = client.ask(do, **arguments)
        return result


def _read(told: dict[str, Any], reader: Callable[[dict[str, Any]], Read]) -> Read:
    """Return what a function reads from an answer, which may be of another version."""
    from stemd.daemon.control.client import reading

    with reading(told):
        return reader(told)


def _changes_in_words(told: dict[str, Any]) -> list[str]:
    lines = [f"changed: {', '.join(told['changed']) or 'nothing'}"]
    if told["at_next_start"]:
        lines.append(f"at the next start: {', '.join(told['at_next_start'])}")
    return lines


def _in_words(told: dict[str, Any]) -> list[str]:
    lines = [f"stemd {told['version']}: {told['state']}"]
    if trouble := told.get("trouble"):
        lines.append(f"server: {trouble}")
    if server := told["server"]:
        lines += [
            f"server: {server['name']}, {server['samplerate']} Hz, {server['period']} frames a "
            f"period, {counted(server['xruns'], 'xrun')}",
            f"delay: {told['delay']['frames']} frames ({told['delay']['seconds']:.3f} s), "
            f"preset {told['preset']}, {told['precision']}",
        ]
    for stem, strip in told["mixer"].items():
        lines.append(f"{stem}: {_strip_in_words(strip)}")
    if told["bypass"]:
        lines.append("bypass: on")
    if server:
        loads = ", ".join(f"{who} {share:.0%}" for who, share in told["load"].items())
        lines += [
            f"load: {loads} of one core",
            f"late: {told['blocks']['late']} of {told['blocks']['total']} blocks, "
            f"{counted(told['engine']['late_periods'], 'period')}",
            *filter(None, [bad_samples.in_words(told)]),
            *_rights_in_words(told.get("realtime")),
            *(
                f"connected: {source} to {destination}"
                for source, destination in told["connections"]
            ),
            *(
                f"left disconnected: {source} to {destination} (stemd reload connects it again)"
                for source, destination in told.get("disconnected", [])
            ),
            *(in_words(own, found) for own, found in told.get("autoconnect", {}).items()),
        ]
    return lines


def _rights_in_words(realtime: dict[str, Any] | None) -> list[str]:
    """Return what the system did not grant, with the remedy; or what it granted."""
    if realtime is None:  # a daemon that started before its program was replaced
        return []
    return ["; ".join(filter(None, (realtime["found"], realtime["remedy"])))]


def _strip_in_words(strip: dict[str, Any]) -> str:
    gain = "off" if strip["gain"] <= OFF_DB else f"{strip['gain']:+.1f} dB"
    return ", ".join([gain, *(what for what in ("mute", "solo") if strip[what])])
