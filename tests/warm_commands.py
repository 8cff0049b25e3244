"""Commands in forks of a process that has imported them: that takes longer than most of them run.

Run as a program it forks once for each request on its standard input, a socket.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from select import select
from tempfile import TemporaryFile

STEMD = Path(sys.executable).with_name("stemd")
LONGEST_REQUEST = 1 << 16
PATIENCE_S = 240

IMPORTED = (
    "stemd.daemon.capacity.profiles",
    "stemd.daemon.files.separate",
    "stemd.daemon.files.separator",
    "stemd.daemon.supervisor.problems",
    "soundfile",
)
"""What commands import when they run."""


class WarmCommands:
    """Runs commands as a shell would, but for the imports.

    Parameters
    ----------
    requests : socket
        To the process that forks.
    """

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests

    def run(self, arguments, environment, cwd=None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, without an input."""
        request = {"arguments": [*map(str, arguments)], "environment": environment}
        text = json.dumps({**request, "cwd": str(cwd or Path.cwd())}).encode()
        with TemporaryFile() as out, TemporaryFile() as err, Path(os.devnull).open() as none:
            ended, ending = os.pipe()
            with os.fdopen(ended) as codes:
                files = [none.fileno(), out.fileno(), err.fileno(), ending]
                socket.send_fds(self._requests, [text], files)
                os.close(ending)
                assert select([codes], [], [], PATIENCE_S)[0], f"{arguments} does not end"
                code = int(codes.read())
            return subprocess.CompletedProcess(arguments, code, _text(out), _text(err))


def _text(file) -> str:
    file.seek(0)
    return file.read().decode()


@contextmanager
def warm_commands():
    """The process that forks, while it is needed."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, its, subprocess.Popen([sys.executable, __file__], stdin=its) as process:
        its.close()
        yield WarmCommands(ours)
        ours.close()
        process.wait(10)


def serve(requests: socket.socket) -> None:
    """Fork for each request, which comes with the files that the command and its exit code get."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # none is waited for
    while True:
        text, files, *_ = socket.recv_fds(requests, LONGEST_REQUEST, 4)
        if not text:
            return
        if not os.fork():
            requests.close()
            report_end(files.pop(), json.loads(text), files)
        for each in files:
            os.close(each)


def report_end(ending: int, request: dict, files: list[int]) -> None:
    """Run the command in one process more, and write its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    command = os.fork()
    if not command:
        os.close(ending)
        become(request, files)
    _, status = os.waitpid(command, 0)
    os.write(ending, str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def become(request: dict, files: list[int]) -> None:
    """Be a command from its first line on."""
    from stemd.daemon.cli.start import main

    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [str(STEMD), *request["arguments"]]
    main()


if __name__ == "__main__":
    from stemd.daemon.cli.commands import COMMANDS
    from stemd.daemon.lean import lean_imports

    with lean_imports():
        for name in {f"stemd.daemon.cli.{place.partition(':')[0]}" for place in COMMANDS.values()}:
            import_module(name)
        for name in IMPORTED:
            import_module(name)
    gc.freeze()
    serve(socket.socket(fileno=0))
