"""The servers of the benchmarks; the tests of the daemon run on them too."""

import subprocess

import pytest

import servers


def test_the_name_of_a_server_is_not_shared(monkeypatch):
    monkeypatch.setattr(servers, "JACK_NAME", "stemd-test-of-names")
    first = servers.Jack(48_000, 256)
    with pytest.raises(RuntimeError, match="stemd-test-of-names is in use: wait for the end"):
        servers.Jack(48_000, 256)
    first._lock.close()
    servers.Jack(48_000, 256)._lock.close()


def test_what_cannot_be_set_up_is_ended(monkeypatch):
    started = []

    def fail(server: servers.PipeWire) -> None:
        server.process = subprocess.Popen(["sleep", "60"])
        started.append(server.process)
        raise OSError("no metadata")

    monkeypatch.setattr(servers.PipeWire, "start", fail)
    with pytest.raises(OSError, match="no metadata"), servers.running("pipewire", 48_000, 256):
        pass
    assert started[0].poll() is not None
