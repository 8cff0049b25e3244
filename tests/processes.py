"""The programs that the tests start: the daemon, and servers by their names."""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path


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
def running(environment, *arguments, program=(STEMD,), **more):
    """`stemd run` from when it separates; yields the process and the log so far."""
    process = subprocess.Popen(
        [*program, "run", *arguments],
        env={**environment, **more},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        log = []
        for line in process.stderr:
            log.append(line)
            if line.startswith(READY):
                break
        else:
            raise AssertionError("".join(log))
        yield process, log
    finally:
        # Asked first: one that is killed may hold what JACK's other programs then wait for.
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stderr.close()


def await_line(process, begin: str) -> None:
    """Read its log until a line that begins so."""
    for line in process.stderr:
        if line.startswith(begin):
            return
    raise AssertionError(f"it never said {begin!r}")
