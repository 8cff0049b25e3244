"""Audio servers without devices, as the tests of endurance start, kill and start them again."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Literal, Protocol

Kind = Literal["jack", "pipewire"]

JACK_NAME = "stemd-bench"
"""Always the same: libjack gives a killed server's name back to none but its namesake."""

JACK_PRIORITY = 70

START_S, STOP_S = 10.0, 5.0
ANY_QUANTUM = "context.properties = { clock.power-of-two-quantum = false }"


class AudioServer(Protocol):
    """One that can be started again after its end.

    Attributes
    ----------
    kind : str
    environment : dict
        What programs need to find it.
    process : Popen or None
        Once it was started.
    """

    kind: Kind
    environment: dict[str, str]
    process: "subprocess.Popen[bytes] | None"

    def start(self) -> None:
        """Start it; it may take a while until it answers."""

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it the signal and wait for its end."""

    def close(self) -> None:
        """End it if it was started; it cannot be started again."""

    def set_period(self, frames: int) -> None:
        """Change the period while it runs."""


class Jack:
    """jackd with the dummy driver.

    Parameters
    ----------
    samplerate, period : int
    priority : int or None
        Of its cycles where it may have that; None leaves it to jackd, which takes 10.
    waits : bool
        In each cycle it waits for all clients.

    Raises
    ------
    RuntimeError
        Somebody else has one, in whose graph everything would end up.
    """

    kind: Kind = "jack"

    def __init__(
        self,
        samplerate: int,
        period: int,
        priority: int | None = JACK_PRIORITY,
        waits: bool = False,
    ) -> None:
        self._lock = socket.socket(socket.AF_UNIX)  # abstract: it ends with this process
        try:
            self._lock.bind(f"\0{JACK_NAME}-server")
        except OSError:
            self._lock.close()
            raise RuntimeError(
                f"the server {JACK_NAME} is in use: wait for the end of the other soak or xruns"
            ) from None
        self.environment = {**os.environ, "JACK_DEFAULT_SERVER": JACK_NAME}
        self._command = ["jackd", "-n", JACK_NAME, "--port-max", "128"]
        self._command += [] if priority is None else [f"-P{priority}"]
        self._command += ["-S"] if waits else []
        self._command += ["-d", "dummy", "-r", str(samplerate), "-p", str(period)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """See `AudioServer`."""
        self.process = _start(self._command, self.environment)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """See `AudioServer`."""
        _end(self.process, number)

    def close(self) -> None:
        """See `AudioServer`."""
        if self.process:
            self.end()
        self._lock.close()

    def set_period(self, frames: int) -> None:
        """See `AudioServer`."""
        _run(["jack_bufsize", str(frames)], self.environment)


class PipeWire:
    """PipeWire in a runtime folder of its own."""

    kind: Kind = "pipewire"

    def __init__(self, samplerate: int, period: int, runtime: Path) -> None:
        users = ("PIPEWIRE_RUNTIME_DIR", "PIPEWIRE_REMOTE")  # lead to the user's own server
        others = {key: each for key, each in os.environ.items() if key not in users}
        # Else it takes the next power of two below the period.
        fragments = runtime / "pipewire" / "pipewire.conf.d"
        fragments.mkdir(parents=True)
        (fragments / "any-quantum.conf").write_text(ANY_QUANTUM)
        self.environment = {
            **others,
            "XDG_RUNTIME_DIR": str(runtime),
            "XDG_CONFIG_HOME": str(runtime),
        }
        self._settings = {"clock.force-rate": samplerate, "clock.force-quantum": period}
        self._command = ["pipewire"]
        self._socket = runtime / "pipewire-0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """See `AudioServer`."""
        self._socket.unlink(missing_ok=True)
        self.process = _start(self._command, self.environment)
        until = monotonic() + START_S
        while not self._socket.exists():
            if self.process.poll() is not None or monotonic() > until:
                raise RuntimeError(f"pipewire did not start (exit code {self.process.poll()})")
            sleep(0.01)
        for key, value in self._settings.items():
            self._set(key, value)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """See `AudioServer`."""
        _end(self.process, number)

    def close(self) -> None:
        """See `AudioServer`."""
        if self.process:
            self.end()

    def set_period(self, frames: int) -> None:
        """See `AudioServer`."""
        self._settings["clock.force-quantum"] = frames
        self._set("clock.force-quantum", frames)

    def set_rate(self, samplerate: int) -> None:
        """Change the sample rate while it runs."""
        self._settings["clock.force-rate"] = samplerate
        self._set("clock.force-rate", samplerate)

    def _set(self, key: str, value: int) -> None:
        _run(["pw-metadata", "-n", "settings", "0", key, str(value)], self.environment)


@contextmanager
def running(kind: Kind, samplerate: int, period: int, waits: bool = False) -> Iterator[AudioServer]:
    """Run a server as long as the context lasts; ``waits``: see `Jack`."""
    with TemporaryDirectory(prefix="stemd-") as folder:
        server: AudioServer
        if kind == "jack":
            server = Jack(samplerate, period, waits=waits)
        else:
            server = PipeWire(samplerate, period, Path(folder))
        with closing(server):
            server.start()
            yield server


def _start(command: list[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _end(process: "subprocess.Popen[bytes] | None", number: signal.Signals) -> None:
    assert process, "it was not started"
    process.send_signal(number)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    # pw-metadata waits for ever where a session manager goes away meanwhile.
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=START_S)
