"""The programs that the tests start: the daemon, and servers by their names."""

import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from logged import Log
from waiting import PATIENCE_S
from warm_commands import warm_commands


def process_of(server: str) -> int:
    """The process of the jackd of this name."""
    return int(_folder(server).name)


def options_of(server: str) -> list[str]:
    """The options that the jackd of this name was started with."""
    return _command(_folder(server))[1:]


def _folder(server: str) -> Path:
    for folder in Path("/proc").glob("[0-9]*"):
        command = _command(folder)
        if command[0].endswith("jackd") and server in command:
            return folder
    raise AssertionError(f"no jackd named {server}")


def _command(folder: Path) -> list[str]:
    try:
        return (folder / "cmdline").read_text(errors="replace").split("\0")
    except OSError:  # it ended meanwhile
        return [""]


STEMD = Path(sys.executable).with_name("stemd")
READY = "separating into"


@contextmanager
def running(environment, *arguments, program=None, stdin=subprocess.DEVNULL, **more):
    """Run `stemd run` from when it separates on; yield its process and its log.

    At the end it is stopped, if it still runs, and ends well; the log is shown where a test fails.

    Parameters
    ----------
    environment : dict
    arguments : str
        Of `stemd run`.
    program : list, optional
        What the command line begins with; where it is not given, Python is started already.
    stdin : file
    more : str
        Further variables of the environment.
    """
    variables = {**environment, "PYTHONFAULTHANDLER": "1", **more}  # the log shows where it crashes
    command = ["run", *arguments]
    process = (
        subprocess.Popen([*program, *command], env=variables, stdin=stdin, stderr=subprocess.PIPE)
        if program
        else warm_commands().start(command, variables, stdin)
    )
    log = Log(process.stderr)
    try:
        log.wait_for(READY)
        yield process, log
        if process.poll() is None:
            code = stop(process)
            assert code == 0, code
    finally:
        end(process)
        log.close()
        print(log.read())


def stop(process, number: signal.Signals = signal.SIGTERM) -> int:
    """Send a signal, wait for the end, and return the exit code."""
    process.send_signal(number)
    return process.wait(PATIENCE_S)


def end(process, send=None) -> None:
    """End a program, in whatever state it is.

    Parameters
    ----------
    process : Popen
    send : function, optional
        That sends it a signal, where its group is to have it too.
    """
    send = send or process.send_signal
    if process.poll() is not None:
        return
    # Asked first: one that is killed may hold what JACK's other programs then wait for.
    send(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        send(signal.SIGKILL)
        process.wait()
