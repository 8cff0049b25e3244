"""Rigs by name, and the commands in a home of their own."""

import contextlib
import os
from contextlib import contextmanager
from functools import partial

import pytest

import servers
from desktop_session import desktop
from rigs import FakeRig, JackRig
from stemd.daemon.engine.scheduling import may_have_priority
from stemd.daemon.errors import ServerError
from stemd.daemon.graph.jack import open_client
from stemd.daemon.graph.private_server import private_server
from waiting import wait_until
from warm_commands import warm_commands


@pytest.fixture
def rig(monkeypatch):
    """A function that makes a rig for as long as its context lasts.

    Its kind comes first, then a rate and a period:

    "fake"
        no server at all
    "jackd"
        without real-time priority, as fast as the machine can
    "jackd -P 10", "jackd -P 70"
        with its default priority, and a high one; skipped where the user may not have that
    "pipewire"
        on its own; where periods are too short for one without real-time priority they are skipped
    "desktop"
        PipeWire with the buses, WirePlumber and pipewire-pulse, without real-time priority
    """

    @contextmanager
    def make(kind: str, samplerate: int, period: int, **options):
        if kind == "fake":
            yield FakeRig(samplerate, period)
        elif kind == "jackd":
            with private_server(samplerate, period, realtime=False) as name:
                yield from closing(JackRig("jack", name, **options))
        elif kind.startswith("jackd"):
            priority = int(kind.removeprefix("jackd -P "))
            if not may_have_priority(priority):
                pytest.skip(f"the user may not have the real-time priority {priority}")
            server = servers.Jack(samplerate, period, None if priority == DEFAULT else priority)
            with closing_server(server):
                rig = JackRig("jack", servers.JACK_NAME, freewheels=False, **options)
                yield from closing(rig)
        else:
            has_priority = kind == "pipewire" and may_have_priority(1)
            if period / samplerate < SHORT_S and not has_priority:
                pytest.skip("without real-time priority, a busy PipeWire loses cycles so short")
            start = desktop if kind == "desktop" else partial(servers.running, "pipewire")
            with start(samplerate, period) as server:
                for name in OF_PIPEWIRE:
                    if name in server.environment:
                        monkeypatch.setenv(name, server.environment[name])
                yield from closing(JackRig("pipewire", freewheels=False, **options))

    return make


SHORT_S = 0.02

DEFAULT = 10
"""The priority that jackd takes by itself."""

OF_PIPEWIRE = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS")
"""Variables by which programs find it and what is about it."""


@contextmanager
def closing_server(server: servers.Jack):
    """Start it, wait until it answers, and close it at the end."""
    with contextlib.closing(server):
        server.start()
        wait_until(lambda: answers(servers.JACK_NAME))
        yield


def answers(name: str) -> bool:
    """Whether the JACK server of this name lets a client in."""
    try:
        open_client("stemd-probe", "jack", name).close()
    except ServerError:
        return False
    return True


def closing(rig: JackRig):
    """Yield it, then close it."""
    try:
        yield rig
    finally:
        rig.close()


@pytest.fixture(scope="session")
def derived_networks(tmp_path_factory):
    """A folder for the cache, which serves all tests: deriving networks takes seconds."""
    base = tmp_path_factory.getbasetemp()
    beside_others = "PYTEST_XDIST_WORKER" in os.environ
    folder = (base.parent if beside_others else base) / "cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory, derived_networks):
    """Without the user's own configuration, networks and servers."""
    home = tmp_path_factory.mktemp("home")
    runtime = home / "runtime"
    runtime.mkdir(mode=0o700)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CACHE_HOME": str(derived_networks),
        "XDG_RUNTIME_DIR": str(runtime),
        "JACK_DEFAULT_SERVER": "nobody-has-this-name",
    }


@pytest.fixture
def stemd(environment):
    """A function that runs a command to its end."""

    def run(*arguments, cwd=None, stdin=None, **more):
        ended = warm_commands().run(arguments, {**environment, **more}, cwd, stdin)
        assert "Traceback" not in ended.stderr
        return ended

    return run
