"""The commands that talk to a daemon that runs."""

import re
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from stemd.daemon.cli.choices import Choice, Seconds
from stemd.daemon.cli.terminal import echo, echo_json
from stemd.daemon.config import Config, load_config
from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.mixer import MAX_DB, OFF_DB
from stemd.daemon.engine import bad_samples
from stemd.daemon.errors import ConfigError, StemdError
from stemd.daemon.graph.port_matches import in_words
from stemd.daemon.packages import install_extra
from stemd.daemon.ports import STEMS

if TYPE_CHECKING:
    from stemd.daemon.control.client import ControlClient

GAIN = re.compile(r"(?P<number>[-+]?\d+(\.\d*)?|[-+]?\.\d+)\s*(dB)?", re.IGNORECASE)

Read = TypeVar("Read")

COMPLETION_S = 1.0
"""How long completion waits for a daemon."""


class Decibels(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5 only
    """A gain as people write it."""

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
    """A stem; completed to those that the running daemon has."""

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click gives it
        incomplete: str,
    ) -> list[CompletionItem]:
        """Return the stems that begin so; of all that there can be, where no daemon answers."""
        stems: Iterable[str] = STEMS
        with suppress(StemdError), redirect_stderr(StringIO()):  # on a line that is being typed
            told = _ask(ctx.params.get("socket"), "status", COMPLETION_S)
            stems = _read(told, lambda told: list(told["mixer"])) or STEMS
        return [CompletionItem(stem) for stem in stems if stem.startswith(incomplete)]


socket_option = click.option(
    "--socket",
    type=click.Path(path_type=Path),
    help="Where the daemon listens; by default where the user's configuration says, or where the "
    "service of the machine does.",
)


@click.command()
@socket_option
@click.option("--json", "as_json", is_flag=True, help="For programs: docs/control.md tells more.")
def status(socket: Path | None, as_json: bool) -> None:
    """Show how a running daemon is doing."""
    told = _ask(socket, "status")
    if as_json:
        echo_json(told, indent=2)
        return
    echo(*_read(told, _in_words))


@click.command("set")
@click.argument("stem", type=Stem(STEMS))
@socket_option
@click.option("--gain", type=Decibels(), help="-6dB, 3, off; 0 dB is as it is.")
@click.option("--mute/--unmute", default=None, help="Not to be heard; and again.")
@click.option("--solo/--unsolo", default=None, help="Only this one, and others with it; or not.")
@click.option(
    "--learn",
    type=Choice(["gain", "mute", "solo"]),
    help="Have the next MIDI controller that moves do this.",
)
@click.option("--fine", is_flag=True, help="With --learn gain: of 14 bits.")
@click.option("--toggles", is_flag=True, help="With --learn: a press changes over.")
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
    """Change how a stem is heard.

    Prints its gain, mute and solo afterwards.
    """
    change = {"gain": gain, "mute": mute, "solo": solo}
    if learn:
        if any(value is not None for value in change.values()):
            raise click.UsageError("--learn goes alone: what is to be learned is said by it")
        _learn(socket, does=learn, stem=stem, fine=fine, toggles=toggles)
        return
    if fine or toggles:
        raise click.UsageError("--fine and --toggles go with --learn: they say what is learned")
    if all(value is None for value in change.values()):
        raise click.UsageError("give what is to change: --gain, --mute, --solo or their opposites")
    echo(f"{stem}: {_read(_ask(socket, 'set', stem=stem, **change), _strip_in_words)}")


@click.command()
@click.argument("what", type=Choice(["on", "off", "toggle"]), required=False)
@socket_option
@click.option("--learn", is_flag=True, help="Have the next MIDI controller that moves do it.")
@click.option("--toggles", is_flag=True, help="With --learn: a press changes over.")
def bypass(what: str | None, socket: Path | None, learn: bool, toggles: bool) -> None:
    """Switch between the input and the stems.

    The input is as late as the stems.
    """
    if learn:
        if what:
            raise click.UsageError(f"--learn goes alone, without {what}: the controller says it")
        _learn(socket, does="bypass", toggles=toggles)
        return
    if toggles:
        raise click.UsageError("--toggles goes with --learn: it says what is learned")
    told = _ask(socket, "bypass", on={"on": True, "off": False}.get(what or "toggle"))
    echo(f"bypass: {_read(told, lambda told: 'on' if told['on'] else 'off')}")


@click.command()
@socket_option
def reload(socket: Path | None) -> None:
    """Have a daemon read its configuration anew.

    A wrong one changes nothing.
    """
    echo(*_read(_ask(socket, "reload"), _changes_in_words))


@click.command()
@socket_option
def stop(socket: Path | None) -> None:
    """Stop a running daemon.

    Waits until it has ended.
    """
    with _connect(socket) as client:
        client.ask("stop")
        client.wait_for_end()


@click.command()
@socket_option
@click.option("--meters", type=Seconds(0.02, 60), help="Seconds between levels.")
def events(socket: Path | None, meters: float | None) -> None:
    """Print what happens, until the daemon ends.

    Each event is a line of JSON.
    """
    with _connect(socket) as client:
        for event in client.events(meters):
            echo_json(event)


@click.command()
@socket_option
def top(socket: Path | None) -> None:
    """Show meters and faders on the terminal."""
    if not sys.stdout.isatty():
        raise StemdError("stemd top wants a terminal; stemd status tells the same once")
    try:
        from stemd.daemon.cli.top import Top
    except ImportError:
        raise StemdError(f"stemd top needs textual: {install_extra('top')}") from None
    with _connect(socket):
        pass  # or say at once that there is none
    Top(lambda: _connect(socket, patience_s=2)).run()


COMMANDS = (status, set_stem, bypass, reload, stop, events, top)


def _learn(socket: Path | None, **wish: Any) -> None:
    with _connect(socket) as client:
        echo("move the controller …", err=True)
        echo(_read(client.ask("learn", **wish), lambda told: Binding(**told).in_words()))


def _connect(path: Path | None, patience_s: float | None = None) -> "ControlClient":
    from stemd.daemon.control.client import ANSWER_S, ControlClient
    from stemd.daemon.control.socket_paths import find_socket

    if path is None:
        config = _own_config()
        path = find_socket(config.control.socket, config.jack.client_name)
    if path is None:
        raise StemdError("the configuration has no control socket: set control.socket to auto")
    return ControlClient(path, patience_s or ANSWER_S)


def _own_config() -> Config:
    """Read the configuration; one that is wrong must not keep a daemon from being muted."""
    try:
        return load_config(None, fills_in=False)
    except ConfigError as error:
        echo(*str(error).split("\n"), "it is not gone by here", err=True)
        return Config()


def _ask(
    path: Path | None, do: str, patience_s: float | None = None, **arguments: Any
) -> dict[str, Any]:
    with _connect(path, patience_s) as client:
        result: dict[str, Any] = client.ask(do, **arguments)
        return result


def _read(told: dict[str, Any], reader: Callable[[dict[str, Any]], Read]) -> Read:
    """Return what a reader makes of an answer, which may be of another version."""
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
            f"period, {server['xruns']} xruns",
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
            f"{told['engine']['late_periods']} periods",
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
    """Say what was wanted of the system and not granted, with the remedy; or what was granted."""
    if realtime is None:  # a daemon that started before its program was replaced
        return []
    return ["; ".join(filter(None, (realtime["found"], realtime["remedy"])))]


def _strip_in_words(strip: dict[str, Any]) -> str:
    gain = "off" if strip["gain"] <= OFF_DB else f"{strip['gain']:+.1f} dB"
    return ", ".join([gain, *(what for what in ("mute", "solo") if strip[what])])
