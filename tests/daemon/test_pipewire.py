"""The daemon on a real PipeWire without devices: its end, its rates, its quanta."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

STEMD = Path(sys.executable).with_name("stemd")


@pytest.fixture
def environment(tmp_path):
    home, runtime = tmp_path / "home", tmp_path / "runtime"
    home.mkdir()
    runtime.mkdir(mode=0o700)
    return {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)}


@contextmanager
def pipewire(environment):
    process = subprocess.Popen(["pipewire"], env=environment, stderr=subprocess.DEVNULL)
    path = Path(environment["XDG_RUNTIME_DIR"]) / "pipewire-0"
    pause = Event()
    for _ in range(200):
        if path.exists():
            break
        pause.wait(0.02)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


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


def settings(environment, **values: int) -> None:
    for key, value in values.items():
        subprocess.run(
            ["pw-metadata", "-n", "settings", "0", f"clock.{key.replace('_', '-')}", str(value)],
            env=environment,
            check=True,
            capture_output=True,
        )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_its_end_is_noticed_and_the_next_one_joined(environment, number):
    with pipewire(environment) as server:
        session = daemon(environment)
        await_line = session.__enter__()
        await_line("separating into")
        server.send_signal(number)
        await_line("the server went away")
        await_line("waiting for a server")
    with pipewire(environment):
        await_line("separating into")
        session.__exit__(None, None, None)


def test_another_rate_gets_another_delay(environment):
    with pipewire(environment), daemon(environment) as await_line:
        assert "48000 Hz" in await_line("client stemd on")
        first = await_line("separating into")
        settings(environment, force_rate=96_000)
        await_line("the server plays at 96000 Hz now")
        assert "96000 Hz" in await_line("client stemd on")
        assert await_line("separating into") != first


def test_another_quantum_changes_nothing_and_one_beyond_the_longest_the_delay(environment):
    with pipewire(environment), daemon(environment) as await_line:
        await_line("separating into")
        for quantum in (64, 256, 1024):
            settings(environment, force_quantum=quantum)
        settings(environment, force_quantum=4096)
        assert "4096" in await_line("periods are of")
        await_line("separating into")
