"""Commands in forks of a process that has imported them: that takes longer than most of them run.

Run as a program it forks once for each request on its standard input, a socket. What happens from
the start of Python until stemd's first line is left to tests that start the program itself.
"""

import atexit
import faulthandler
import gc
import hashlib  # noqa: F401 - with OpenSSL, whose digests are quicker than stemd's own
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile

STEMD = Path(sys.executable).with_name("stemd")
LONGEST_REQUEST = 1 << 16
PATIENCE_S = 240

IMPORTED = (
    "stemd.daemon.capacity.profiles",
    "stemd.daemon.files.separate",
    "stemd.daemon.files.separator",
    "stemd.daemon.supervisor.app",
    "stemd.daemon.supervisor.problems",
    "soundfile",
)
"""What commands import when they run."""


class WarmProcess:
    """A command that runs, as `subprocess.Popen` has it.

    Parameters
    ----------
    news : int
        A pipe by which its process and, at its end, its exit code are told.
    arguments : list
    stderr : file, optional
        The end of a pipe to read its messages from.
    """

    def __init__(self, news: int, arguments, stderr=None) -> None:
        self._news = os.fdopen(news)
        self.args, self.stderr = arguments, stderr
        self.returncode: int | None = None
        self.pid = int(self._news.readline())

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""
        if self.returncode is None and select.select([self._news], [], [], 0)[0]:
            self.returncode = int(self._news.read())
            self._news.close()
        return self.returncode

    def wait(self, timeout: float = PATIENCE_S) -> int:
        """Wait for its end, and return its exit code."""
        if self.returncode is None and not select.select([self._news], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self.args, timeout)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal where it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


class WarmCommands:
    """Runs commands as a shell would, but for the imports.

    Parameters
    ----------
    requests : socket
        To the process that forks.
    """

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests

    def run(self, arguments, environment, cwd=None, stdin=None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, by default without an input."""
        with TemporaryFile() as out, TemporaryFile() as err, Path(os.devnull).open() as none:
            files = [stdin or none, out, err]
            process = WarmProcess(self._fork(arguments, environment, cwd, files), arguments)
            code = process.wait()
            return subprocess.CompletedProcess(arguments, code, _text(out), _text(err))

    def start(self, arguments, environment, stdin=subprocess.DEVNULL) -> WarmProcess:
        """Start a command whose messages come through a pipe."""
        ours, its = os.pipe()
        with Path(os.devnull).open("r+") as none, os.fdopen(its, "w") as err:
            files = [none if stdin == subprocess.DEVNULL else stdin, none, err]
            news = self._fork(arguments, environment, None, files)
        return WarmProcess(news, arguments, os.fdopen(ours, "rb", 0))

    def _fork(self, arguments, environment, cwd, files) -> int:
        """Have it started; return where its process and exit code are told."""
        request = {
            "arguments": [os.fsdecode(each) for each in arguments],
            "environment": environment,
            "cwd": str(cwd or Path.cwd()),
        }
        ours, its = os.pipe()
        numbers = [each if isinstance(each, int) else each.fileno() for each in files]
        socket.send_fds(self._requests, [json.dumps(request).encode()], [*numbers, its])
        os.close(its)
        return ours


def _text(file) -> str:
    file.seek(0)
    return file.read().decode(errors="surrogateescape")


@cache
def warm_commands() -> WarmCommands:
    """The process that forks, from the first command on."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen([sys.executable, __file__], stdin=its)
    atexit.register(process.wait, 10)
    atexit.register(ours.close)
    return WarmCommands(ours)


def serve(requests: socket.socket) -> None:
    """Fork for each request, which comes with the files that the command gets, and a pipe."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # none is waited for
    while True:
        text, files, *_ = socket.recv_fds(requests, LONGEST_REQUEST, 4)
        if not text:
            return
        if not os.fork():
            requests.close()
            report(files.pop(), json.loads(text), files)
        for each in files:
            os.close(each)


def report(news: int, request: dict, files: list[int]) -> None:
    """Run the command in one process more; tell which, and its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    command = os.fork()
    if not command:
        os.close(news)
        become(request, files)
    for each in files:
        os.close(each)  # who reads its messages waits until all have closed them
    os.write(news, f"{command}\n".encode())
    _, status = os.waitpid(command, 0)
    os.write(news, str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def become(request: dict, files: list[int]) -> None:
    """Be a command from its first line on."""
    threading.main_thread()._set_native_id()  # Python keeps the number from before the fork
    from stemd.daemon.cli.start import main

    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout = (open(number, mode) for number, mode in enumerate("rw"))  # noqa: PTH123, SIM115
    sys.stderr = open(2, "w", buffering=1)  # noqa: SIM115
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [str(STEMD), *request["arguments"]]
    if "PYTHONFAULTHANDLER" in os.environ:
        faulthandler.enable()
    main()


if __name__ == "__main__":
    from stemd.daemon.cli.commands import COMMANDS
    from stemd.daemon.lean import lean_imports

    with lean_imports():
        for name in {f"stemd.daemon.cli.{place.partition(':')[0]}" for place in COMMANDS.values()}:
            import_module(name)
        for name in IMPORTED:
            import_module(name)
    import_module("scipy.fft")  # as `stemd separate` does, later
    gc.freeze()
    serve(socket.socket(fileno=0))
