"""Rigs by name, "fake", "jackd" or "pipewire", with a rate and a period."""

from contextlib import contextmanager

import pytest

import servers
from rigs import FakeRig, JackRig
from stemd.daemon.private_server import private_server


@pytest.fixture
def rig(monkeypatch):
    """A function that makes a rig for as long as its context lasts."""

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
