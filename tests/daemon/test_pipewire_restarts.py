"""PipeWire ends again and again while stemd is connected, and stemd plays on with the next one."""

import signal
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

import servers
from logged import Log
from processes import running, stop
from stemd.daemon.control.client import ControlClient
from stemd.daemon.engine.realtime import RealtimeSide
from stemd.daemon.errors import StemdError
from stemd.daemon.graph import jack
from stemd.daemon.graph.jack import MOST_ABANDONED, open_client
from stemd.daemon.graph.libjack import Library, libraries
from waiting import PATIENCE_S, wait_for, wait_until

CLOSES_DEAD_CLIENTS = all(
    library.closes_dead_clients for library in libraries() if library.kind == "pipewire"
)

PLAYER = """
import sys, time
from stemd.daemon.graph.libjack import candidates, load
jack = load(candidates("pipewire")[0])
client = jack.Client("player", no_start_server=True)
links = [(client.outports.register(f"out_{s}").name, f"stemd:in_{s}") for s in "LR"]
links += [(f"stemd:vocals_{s}", client.inports.register(f"in_{s}").name) for s in "LR"]
client.activate()
while links:
    try:
        client.connect(*links[-1])
        links.pop()
    except jack.JackError:
        time.sleep(0.02)
print("connected", flush=True)
time.sleep(60)
"""


@pytest.fixture
def server(tmp_path):
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    pipewire = servers.PipeWire(48_000, 1024, runtime)
    pipewire.environment |= {"HOME": str(tmp_path)}
    with closing(pipewire):
        pipewire.start()
        yield pipewire


@contextmanager
def player(environment):
    """A program that feeds stemd and listens to it."""
    command = [sys.executable, "-c", PLAYER]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    try:
        Log(process.stdout).wait_for("connected")
        yield
    finally:
        process.kill()
        process.communicate()


def daemon(environment):
    return running(environment, "--server", "pipewire", "--stems", "2")


def wait_for_server(steering, is_there: bool) -> None:
    wait_until(lambda: (steering.ask("status")["server"] is not None) == is_there)


def restart(server, number, times: int) -> None:
    """End the server while stemd is connected, and start the next one, some times."""
    path = Path(server.environment["XDG_RUNTIME_DIR"]) / "stemd" / "stemd.socket"
    wait_for(path)
    with ControlClient(path) as steering:
        for _ in range(times):
            wait_for_server(steering, True)
            with player(server.environment):
                server.end(number)
                with suppress(StemdError):  # the last end it can take
                    wait_for_server(steering, False)
            server.start()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_each_end_is_survived_and_the_next_one_joined(server, number):
    with daemon(server.environment) as (process, _):
        restart(server, number, 2 if CLOSES_DEAD_CLIENTS else 6)
        assert stop(process) == 0


@pytest.mark.skipif(
    CLOSES_DEAD_CLIENTS,
    reason="this PipeWire's library closes clients of servers that have ended",
)
def test_after_many_it_ends_in_good_order_for_its_supervisor(server):
    with daemon(server.environment) as (process, log):
        restart(server, signal.SIGKILL, MOST_ABANDONED)
        assert process.wait(PATIENCE_S) == 1
        log.wait_for(f"PipeWire has ended {MOST_ABANDONED} times")


def test_dead_clients_are_kept_where_the_library_frees_twice(server, monkeypatch):
    """As with PipeWire 1.4, whichever is installed."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", server.environment["XDG_RUNTIME_DIR"])
    monkeypatch.setattr(Library, "closes_dead_clients", False)
    monkeypatch.setattr(jack, "_abandoned", kept := [])
    monkeypatch.setattr(jack, "MOST_ABANDONED", 2)
    clients = []
    for end in (False, True, True):
        client = open_client("stemd", "pipewire")
        client.bind(
            RealtimeSide(2, 2, 48_000).callbacks, ["in_L", "in_R"], ["vocals_L", "vocals_R"]
        )
        client.activate()
        if end:
            server.end(signal.SIGKILL)
            server.start()
        clients.append(client)
        if len(kept) < 1:
            client.close()
    with pytest.raises(StemdError, match="PipeWire has ended 2 times"):
        client.close()
    assert kept == clients[1:]
    assert [bool(each._client._ptr) for each in clients] == [False, True, True]


@pytest.mark.parametrize(
    ("version", "closes"),
    [
        ("JACK 1.9.21", True),
        ("JACK 3.0.0.0 (using PipeWire 0.3.65)", True),
        ("JACK 3.1.2.4 (using PipeWire 1.2.4)", True),
        ("JACK 3.1.2.5 (using PipeWire 1.2.5)", False),
        ("JACK 3.1.4.2 (using PipeWire 1.4.2)", False),
        ("JACK 3.1.6.8 (using PipeWire 1.6.8)", False),
        ("JACK 4.0 (using PipeWire of some day)", False),
    ],
)
def test_which_libraries_close_dead_clients(version, closes):
    kind = "pipewire" if "PipeWire" in version else "jack"
    assert Library("lib", kind, version).closes_dead_clients == closes
