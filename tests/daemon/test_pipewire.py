"""The daemon on a real PipeWire without devices: its end, its rates, its quanta."""

import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import servers

STEMD = Path(sys.executable).with_name("stemd")


@pytest.fixture
def server(tmp_path):
    """A PipeWire that runs, and what programs need to find it."""
    home, runtime = tmp_path / "home", tmp_path / "runtime"
    home.mkdir()
    runtime.mkdir(mode=0o700)
    pipewire = servers.PipeWire(48_000, 1024, runtime)
    pipewire.environment |= {"HOME": str(home)}
    pipewire.start()
    yield pipewire
    pipewire.end()


@contextmanager
def daemon(environment):
    """`stemd run`; yields what waits for a line of its log and returns it."""
    process = subprocess.Popen(
        [STEMD, "run", "--server", "pipewire"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )

    def await_line(words: str) -> str:
        said = []
        for line in process.stderr:
            said.append(line)
            if words in line:
                return line
        raise AssertionError(f"it never said {words!r} but:\n{''.join(said)}")

    try:
        yield await_line
        process.send_signal(signal.SIGTERM)
        await_line("played ")
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_its_end_is_noticed_and_the_next_one_joined(server, number):
    with daemon(server.environment) as await_line:
        await_line("separating into")
        server.end(number)
        await_line("the server went away")
        await_line("waiting for a server")
        server.start()
        await_line("separating into")


def test_another_rate_gets_another_delay(server):
    with daemon(server.environment) as await_line:
        assert "48000 Hz" in await_line("client stemd on")
        first = await_line("separating into")
        server.set_rate(96_000)
        await_line("the server plays at 96000 Hz now")
        assert "96000 Hz" in await_line("client stemd on")
        assert await_line("separating into") != first


def test_another_quantum_changes_nothing_and_one_beyond_the_longest_the_delay(server):
    with daemon(server.environment) as await_line:
        await_line("separating into")
        for quantum in (64, 256, 1024):
            server.set_period(quantum)
        server.set_period(4096)
        assert "4096" in await_line("periods are of")
        await_line("separating into")
