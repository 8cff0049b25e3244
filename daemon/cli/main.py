"""Runs the command line: whatever a user can cause ends in one clear line and an exit code."""

import logging
import signal
import sys
import traceback
from contextlib import suppress
from io import StringIO
from os.path import lexists
from shlex import quote

import click

from stemd.daemon.cli.commands import BROKEN_PIPE, stemd
from stemd.daemon.cli.start import INTERRUPTED
from stemd.daemon.cli.terminal import echo, echo_error
from stemd.daemon.errors import StemdError
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.printable import printable

_NO_ARGUMENTS: type[click.ClickException] | tuple[()] = getattr(
    click.exceptions, "NoArgsIsHelpError", ()
)
"""What click raises, since 8.2, for a group without a command."""


def main() -> None:
    """Run the command line, and end the process with the command's exit code (main thread)."""
    signals = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # as nohup sets it
    ]
    for number in signals:
        signal.signal(number, _leave)  # so that unfinished files are removed
    status = _status_of_command()
    for number in signals:
        signal.signal(number, signal.SIG_DFL)  # an exception while Python ends would be printed
    for name in ("stdout", "stderr"):
        _flush_or_forget(name)
    sys.exit(status)


def _status_of_command() -> int:
    """Run the command; print what went wrong, and return the exit code."""
    try:
        status: int = stemd(prog_name="stemd", standalone_mode=False) or 0
        sys.stdout.flush()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
        if status == INTERRUPTED:
            _print_error("interrupted")
        return status
    except BaseException as error:  # noqa: BLE001 (a traceback helps only those who know the source)
        return _explain(error)
    return status


def _explain(error: BaseException) -> int:
    """Print what went wrong in a command, and return its exit code."""
    match error:
        case click.ClickException():
            _print_usage_error(error)
            return error.exit_code
        case StemdError() | ModelError():
            with suppress(OSError):
                echo_error(error)
            return getattr(error, "exit_code", 1)
        case KeyboardInterrupt() | click.Abort():
            _print_error("interrupted")
            return INTERRUPTED
        case BrokenPipeError():
            return BROKEN_PIPE
        case OSError():
            # Errors with a remedy of their own are caught where they occur: this is the output.
            place = error.filename or "to standard output"
            _print_error(f"cannot write {place}: {error.strerror or error}")
        case MemoryError():
            _print_error(
                "the memory is full: end other programs, or choose a preset that takes less"
            )
        case _:
            _print_internal(error)
    return 1


def _print_usage_error(error: click.ClickException) -> None:
    if not isinstance(error, _NO_ARGUMENTS):  # whose message is the help
        # What was typed may have newlines.
        vars(error)["message"] = printable(f"{error.message}{_file_hint(error)}")
    error.show(shown := StringIO())
    with suppress(OSError):
        echo(*shown.getvalue().expandtabs(4).splitlines(), err=True)


def _file_hint(error: click.ClickException) -> str:
    """Return how to name a file that was taken for an option; empty if none was."""
    if not isinstance(error, click.NoSuchOption):
        return ""
    names = (word for word in sys.argv[1:] if word.startswith("-") and lexists(word))
    return next((f" For the file {name}, type {quote(f'./{name}')}" for name in names), "")


def _print_internal(error: BaseException) -> None:
    """Print that stemd itself is at fault, with the traceback where the log is verbose."""
    if logging.getLogger("stemd").isEnabledFor(logging.DEBUG):
        with suppress(OSError):
            echo(*"".join(traceback.format_exception(error)).splitlines(), err=True)
    _print_error(
        f"this is a fault of stemd's own ({type(error).__name__}: {error}); "
        "please report it, with what `stemd -v …` prints"
    )


def _print_error(message: str) -> None:
    with suppress(OSError):  # where even standard error cannot be written, nothing can be said
        echo(f"stemd: {message}", err=True)


def _flush_or_forget(name: str) -> None:
    """Write what a stream still holds; else Python tries it as it ends, and complains."""
    try:
        getattr(sys, name).flush()
    except OSError:
        setattr(sys, name, None)


def _leave(number: int, _: object) -> None:
    raise SystemExit(128 + number)
