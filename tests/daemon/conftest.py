"""Rigs by name: "fake" or "jackd", with a period."""

from contextlib import contextmanager

import pytest

from rigs import FakeRig, JackRig
from stemd.daemon.private_server import private_server


@contextmanager
def _rig(kind: str, samplerate: int, blocksize: int):
    if kind == "fake":
        yield FakeRig(samplerate, blocksize)
        return
    with private_server(samplerate, blocksize, realtime=False) as server:
        rig = JackRig(server)
        try:
            yield rig
        finally:
            rig.close()


@pytest.fixture
def rig():
    """A function that makes a rig for as long as its context lasts."""
    return _rig
