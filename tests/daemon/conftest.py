"""Rigs by name, and the commands in a home of their own."""

import os
import subprocess
from contextlib import contextmanager

import pytest

import servers
from processes import STEMD
from rigs import FakeRig, JackRig
from stemd.daemon.private_server import private_server


@pytest.fixture
def rig(monkeypatch):
    """A function that makes a rig for as long as its context lasts.

    Its kind is "fake", "jackd" or "pipewire"; then come a rate and a period.
    """

    @contextmanager
    def make(kind: str, samplerate: int, period: int, **options):
        if kind == "fake":
            yield FakeRig(samplerate, period)
        elif kind == "jackd":
            with private_server(samplerate, period, realtime=False) as name:
                yield from closing(JackRig("jack", name, **options))
        else:
            with servers.running("pipewire", samplerate, period) as server:
                monkeypatch.setenv("XDG_RUNTIME_DIR", server.environment["XDG_RUNTIME_DIR"])
                yield from closing(JackRig("pipewire", **options))

    return make


def closing(rig: JackRig):
    """Yield it, then close it."""
    try:
        yield rig
    finally:
        rig.close()


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Without the user's own configuration, networks, servers; the cache serves all tests here."""
    home = tmp_path_factory.mktemp("home")
    runtime = home / "runtime"
    runtime.mkdir(mode=0o700)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(runtime),
        "JACK_DEFAULT_SERVER": "nobody-has-this-name",
    }


@pytest.fixture
def stemd(environment):
    """A function that runs a command to its end."""

    def run(*arguments, cwd=None, **more):
        ended = subprocess.run(
            [STEMD, *arguments],
            env={**environment, **more},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "Traceback" not in ended.stderr
        return ended

    return run
