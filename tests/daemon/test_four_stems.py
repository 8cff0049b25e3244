"""Four interpreters under a real jackd, in real time, with networks of the official size."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from threading import Semaphore

import jack
import pytest

import tiny_model
from stemd.daemon.graph.private_server import private_server

STEMD = Path(sys.executable).with_name("stemd")
OFFICIAL_FILTERS = (16, 32, 64, 128, 256, 512)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A home in which random 4-stem networks are installed, as a user would install them."""
    home = tmp_path_factory.mktemp("home")
    checkpoint = home / "checkpoint"
    checkpoint.mkdir()
    variables = tiny_model.variables(stems=4, filters=OFFICIAL_FILTERS)
    tiny_model.write_checkpoint(checkpoint, variables)
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    install = ["models", "install", "4stems", "--from", checkpoint, "--allow-unverified"]
    installed = subprocess.run([STEMD, *install], env=environment, capture_output=True, text=True)
    assert installed.returncode == 0, installed.stderr
    return environment


def test_four_stems_at_the_seed_preset_are_never_late(environment):
    with private_server(blocksize=1024) as server:
        process = subprocess.Popen(
            [STEMD, "run", "--preset", "seed"],
            env={**environment, "JACK_DEFAULT_SERVER": server},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            log = []
            while not (log and log[-1].startswith("separating into")):
                log.append(process.stderr.readline())
                assert log[-1], "".join(log)
            wait_for_graph_to_play(server, seconds=13)
            process.send_signal(signal.SIGTERM)
            end = process.stderr.read()
        finally:
            process.kill()
            process.communicate()
    assert "separating into vocals, drums, bass, other with a delay of 266681 frames" in log[-1]
    assert process.returncode == 0
    late, due = map(int, re.search(r"(\d+) of (\d+) blocks late", end).groups())
    assert late == 0, end
    assert due >= 3, end


def wait_for_graph_to_play(server: str, seconds: float) -> None:
    """Wait until the server has played for so long: blocks of three seconds take their time."""
    client = jack.Client("clock", no_start_server=True, servername=server)
    cycles = Semaphore(0)
    client.set_process_callback(lambda frames: cycles.release())
    client.activate()
    for _ in range(int(seconds * client.samplerate / client.blocksize)):
        assert cycles.acquire(timeout=10), "the server stands still"
    client.close()
