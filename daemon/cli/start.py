"""The entry point: prepares standard streams and signals before the imports, which take long."""

import atexit
import os
import signal
import sys
from contextlib import suppress

INTERRUPTED = 128 + signal.SIGINT
"""Exit code of what Ctrl-C ended, as shells have it."""


def main() -> None:
    """Run the command line."""
    _open_closed_streams()
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in the background of a script
        signal.signal(signal.SIGINT, _interrupted)
    from stemd.daemon.lean import lean_imports

    with lean_imports():
        from stemd.daemon.cli.main import main as run
    try:
        run()
    except SystemExit as end:
        _leave(end.code)


def _leave(status: str | int | None) -> None:
    """End the process without ending Python, once everything is closed and written.

    A thread may be left behind in native code: in a network that hangs, or in a client whose server
    has died. As Python ends it would unwind such a thread, or free what it uses, and abort.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or None
            stream.flush()
    os._exit(status if isinstance(status, int) else 0)


def _interrupted(*_: object) -> None:
    """End at once: there is nothing to clean up yet.

    An exception could be raised in the middle of an import, where some libraries turn it into
    another one.
    """
    os.write(2, b"stemd: interrupted\n")
    os._exit(INTERRUPTED)


def _open_closed_streams() -> None:
    """Occupy the descriptors 0 to 2: a file opened later would else get the messages.

    Writing to a closed standard output fails; a closed input is empty, and errors are lost.
    """
    streams = (
        ("stdin", "r", os.O_RDONLY),
        ("stdout", "w", os.O_RDONLY),
        ("stderr", "w", os.O_WRONLY),
    )
    for number, (name, mode, flags) in enumerate(streams):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest number that is free
            setattr(sys, name, open(number, mode))  # noqa: PTH123, SIM115 (a descriptor, for good)
    for stream in (sys.stdout, sys.stderr):
        # What a terminal's encoding does not have is written as an escape.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
