"""The commands."""

import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any, Literal, get_args

import click

from stemd.daemon.cli import logs, steer
from stemd.daemon.cli.choices import Choice, Seconds, complete_setting, values_of
from stemd.daemon.cli.models import models
from stemd.daemon.cli.service import service
from stemd.daemon.cli.start import INTERRUPTED
from stemd.daemon.cli.terminal import echo, echo_error
from stemd.daemon.config import SeparationSection, existing_default_path, load_config
from stemd.daemon.errors import StemdError
from stemd.daemon.presets import PRESETS
from stemd.daemon.work import Work
from stemd.dsp.masks import MaskExtension
from stemd.dsp.scheme import OFFLINE
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.graphs.spec import StreamingPrecision
from stemd.tflite_models.printable import printable

Command = Callable[..., Any]


BROKEN_PIPE = 128 + signal.SIGPIPE
"""Exit code of a program whose output is read no further, as shells have it."""

_NO_ARGUMENTS: type[click.ClickException] | tuple[()] = getattr(
    click.exceptions, "NoArgsIsHelpError", ()
)
"""What click raises, since 8.2, for a group without a command."""


def main() -> None:
    """Run the command line; whatever a user can cause ends in one clear line."""
    signals = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # as nohup has it
    ]
    for number in signals:
        signal.signal(number, _leave)  # so that whatever is half done is cleared away
    status = _status_of_command()
    for number in signals:
        signal.signal(number, signal.SIG_DFL)  # an exception while Python ends would be printed
    for name in ("stdout", "stderr"):
        _flush_or_forget(name)
    sys.exit(status)


def _status_of_command() -> int:
    """Run the command; say what went wrong, and give the exit code."""
    try:
        status: int = cli(prog_name="stemd", standalone_mode=False) or 0
        sys.stdout.flush()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
        if status == INTERRUPTED:
            _say("interrupted")
        return status
    except click.ClickException as error:
        if not isinstance(error, _NO_ARGUMENTS):  # whose message is the help
            vars(error)["message"] = printable(error.message)  # what was typed may have newlines
        error.show(told := StringIO())
        with suppress(OSError):
            echo(*told.getvalue().expandtabs(4).splitlines(), err=True)
        return error.exit_code
    except (StemdError, ModelError) as error:
        with suppress(OSError):
            echo_error(error)
        return getattr(error, "exit_code", 1)
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return BROKEN_PIPE
    except OSError as error:
        # What has a remedy of its own is told where it happens; this is standard output at last.
        _say(f"cannot write {error.filename or 'to standard output'}: {error.strerror or error}")
        return 1
    except MemoryError:
        _say("the memory is full: end other programs, or choose a preset that takes less")
        return 1
    except Exception as error:  # noqa: BLE001 (a traceback helps only those who know the source)
        _say_internal(error)
        return 1
    return status


def _flush_or_forget(name: str) -> None:
    """Write what a stream still holds; else Python tries it as it ends, and complains."""
    try:
        getattr(sys, name).flush()
    except OSError:
        setattr(sys, name, None)


def _say(what: str) -> None:
    with suppress(OSError):  # where even standard error cannot be written, nothing can be said
        echo(f"stemd: {what}", err=True)


def _say_internal(error: Exception) -> None:
    """Say that stemd itself is at fault, with the traceback where the log is verbose."""
    if logging.getLogger("stemd").isEnabledFor(logging.DEBUG):
        with suppress(OSError):
            echo(*traceback.format_exc().splitlines(), err=True)
    _say(
        f"this is a fault of stemd's own ({type(error).__name__}: {error}); "
        "please report it, with what `stemd -v …` prints"
    )


def _leave(number: int, _: object) -> None:
    raise SystemExit(128 + number)


class Commands(click.Group):
    """The commands; click itself would end with 1 where the output is read no further."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the arguments, and print help where that is asked for."""
        with _ending_at_a_broken_pipe():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        with _ending_at_a_broken_pipe():
            return super().invoke(ctx)


@contextmanager
def _ending_at_a_broken_pipe() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise SystemExit(BROKEN_PIPE) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="stemd")
@click.option("-v", "--verbose", is_flag=True, help="Log what helps to find a fault.")
def cli(verbose: bool) -> None:
    """Take live music apart: a JACK/PipeWire client with a stereo output for each stem."""
    logs.set_up(verbose, os.environ)


for command in (models, service, *steer.COMMANDS):
    cli.add_command(command)


def with_config(command: Command) -> Command:
    """Give a command the options that make up a configuration."""
    for option in reversed(
        [
            click.option(
                "-c",
                "--config",
                "path",
                type=click.Path(path_type=Path, dir_okay=False),
                help="The configuration file; by default the user's own, where there is one.",
            ),
            click.option(
                "--set",
                "settings",
                multiple=True,
                metavar="SECTION.KEY=VALUE",
                shell_complete=complete_setting,
                help="Overrule one key of it; may be given again.",
            ),
        ]
    ):
        command = option(command)
    return command


@cli.command()
@with_config
@click.option("--server", type=values_of("jack", "server"), help="Instead of jack.server.")
@click.option(
    "--server-name",
    metavar="NAME",
    help="Which of several: the name given to jackd (-n), or of PipeWire's socket.",
)
@click.option(
    "--stems",
    type=values_of("separation", "stems"),
    help="How many; auto: 4 where Deezer's four are installed, else 2.",
)
@click.option(
    "--preset",
    type=values_of("separation", "preset"),
    help="From the longest delay (seed, 6 s) to the shortest (live, 0.2 s).",
)
@click.option(
    "--no-autoconnect", is_flag=True, help="Connect nothing, whatever jack.autoconnect says."
)
def run(
    path: Path | None,
    settings: tuple[str, ...],
    server: str | None,
    server_name: str | None,
    stems: str | None,
    preset: str | None,
    no_autoconnect: bool,
) -> None:
    """Run the daemon in the foreground."""
    from stemd.daemon.supervisor.app import run as run_daemon

    given = _overrides(server, stems, preset)
    if server_name is not None:
        given.append(f"jack.server_name={json.dumps(server_name)}")  # quoted, however it looks
    if no_autoconnect:
        given.append("jack.autoconnect={}")
    run_daemon(lambda: load_config(path, [*settings, *given]))


@cli.command()
@with_config
def check(path: Path | None, settings: tuple[str, ...]) -> None:
    """Check the configuration.

    Every error is named at once, a line each; the exit code is then 2.
    """
    from stemd.daemon.engine.networks import find_networks

    stems = load_config(path, settings).separation.stems
    if stems != "auto":
        find_networks(stems)
    read = path or existing_default_path()
    echo(f"the configuration is right ({read or 'no file: the defaults'})")


@cli.command()
@with_config
def config(path: Path | None, settings: tuple[str, ...]) -> None:
    """Print the effective configuration."""
    echo(*load_config(path, settings).as_yaml().splitlines())


@cli.command()
@with_config
@click.option(
    "--seconds",
    type=Seconds(0, 3600),
    default=5,
    show_default=True,
    help="How long to play and measure; 0: do not play.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(path: Path | None, settings: tuple[str, ...], seconds: float, as_json: bool) -> None:
    """Show what is wrong here, and what to do.

    Plays noise, unheard, through a daemon in the graph that it finds, and measures; where a daemon
    runs, that one is measured instead. The exit code is 0 if nothing dropped out, and 1 if
    something did or stemd cannot play here.
    """
    from stemd.daemon.cli.doctor import doctor as examine

    examine(path, settings, seconds, as_json)


@cli.command()
@click.argument("song", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the stems go; by default a folder with the song's name, here.",
)
@click.option(
    "--stems",
    type=Choice(["auto", "2", "4"]),
    default="auto",
    help="auto: 4 where those networks are installed, else 2.",
    show_default=True,
)
@click.option(
    "--preset",
    type=Choice(list(PRESETS)),
    help="What the daemon would play with this preset, without its delay.",
)
@click.option(
    "--offline", is_flag=True, help="The whole context, as the official program (default)."
)
@click.option(
    "--mask-extension",
    type=Choice([extension.value for extension in MaskExtension]),
    default=MaskExtension.MEAN.value,
    help="Above 11 kHz: mean lets the stems sum to the song, zeros is the official default.",
    show_default=True,
)
@click.option(
    "--format",
    "suffix",
    type=Choice(["wav", "flac"]),
    default="wav",
    help="Of the files written.",
    show_default=True,
)
@click.option(
    "--bits",
    type=Choice(["24", "float"]),
    default="24",
    help="Of each sample; float keeps what goes beyond full scale, in WAV only.",
    show_default=True,
)
@click.option(
    "--precision",
    type=Choice(get_args(StreamingPrecision)),
    help="Arithmetic of the networks; by default fp32, with a preset the daemon's.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    default=1,
    help="For each stem's network.",
    show_default=True,
)
@click.option("--remainder", is_flag=True, help="The last stem is what the others leave.")
def separate(
    song: Path,
    folder: Path | None,
    stems: str,
    preset: str | None,
    offline: bool,
    mask_extension: str,
    suffix: str,
    bits: str,
    precision: StreamingPrecision | None,
    threads: int,
    remainder: bool,
) -> None:
    """Separate a file into stems.

    It reads WAV, FLAC, OGG and MP3, and writes a file for each stem.

    Stems of the same name in the folder are replaced once the new ones are whole.
    """
    if preset and offline:
        raise click.UsageError("--preset and --offline exclude each other: give one")
    if suffix == "flac" and bits == "float":
        raise click.UsageError("FLAC holds no float samples: give --bits 24 or --format wav")
    from stemd.daemon.cli.separate import separate_file
    from stemd.daemon.engine.networks import choose_stems

    number = choose_stems(_stems(stems))
    precision = precision or (SeparationSection().precision if preset else "fp32")
    schemes = PRESETS[preset] if preset else (OFFLINE,)
    separate_file(
        song,
        folder,
        [Work(scheme, number, precision, threads, remainder) for scheme in schemes],
        MaskExtension(mask_extension),
        suffix,
        {"24": "PCM_24", "float": "FLOAT"}[bits],
    )


@cli.command()
@with_config
@click.option(
    "--stems",
    type=values_of("separation", "stems"),
    help="How many; auto: 4 where Deezer's four are installed, else 2.",
)
@click.option(
    "--precision", type=Choice(get_args(StreamingPrecision)), help="Arithmetic of the networks."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def bench(
    path: Path | None,
    settings: tuple[str, ...],
    stems: str | None,
    precision: str | None,
    as_json: bool,
) -> None:
    """Measure which preset this machine holds.

    Networks, signal processing and memory are measured for each preset.
    """
    from stemd.daemon.cli.bench import bench as run_bench

    given = _overrides(None, stems, None, precision)
    wishes = load_config(path, [*settings, *given]).separation
    run_bench(wishes, as_json)


@cli.command()
@with_config
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    help="Where the stems and the picture go.",
    show_default=True,
)
@click.option(
    "--song",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Instead of the one that comes along.",
)
@click.option(
    "--stems",
    type=values_of("separation", "stems"),
    help="How many; auto: 4 where Deezer's four are installed, else 2.",
)
@click.option(
    "--preset",
    type=values_of("separation", "preset"),
    help="From the longest delay (seed, 6 s) to the shortest (live, 0.2 s).",
)
def demo(
    path: Path | None,
    settings: tuple[str, ...],
    folder: Path,
    song: Path | None,
    stems: str | None,
    preset: str | None,
) -> None:
    """Play a song through the daemon.

    In real time, on a JACK server of its own; the stems are recorded.
    """
    from stemd.daemon.cli.demo import demo_song

    demo_song(load_config(path, [*settings, *_overrides(None, stems, preset)]), folder, song)


@cli.command()
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a shell's completion script.

    For bash: eval "$(stemd completion bash)", in ~/.bashrc.
    """
    from click.shell_completion import get_completion_class

    if found := get_completion_class(shell):
        echo(*found(cli, {}, "stemd", "_STEMD_COMPLETE").source().splitlines())


def _overrides(
    server: str | None, stems: str | None, preset: str | None, precision: str | None = None
) -> list[str]:
    """Write the options that stand for a key of the configuration as settings."""
    given = {
        "jack.server": server,
        "separation.stems": stems,
        "separation.preset": preset,
        "separation.precision": precision,
    }
    return [f"{key}={value}" for key, value in given.items() if value is not None]


def _stems(text: str) -> Literal["auto", 2, 4]:
    return "auto" if text == "auto" else 2 if text == "2" else 4
