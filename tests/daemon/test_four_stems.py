"""Four interpreters under a real jackd, in real time, with the bundled networks."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from threading import Semaphore

import jack

from stemd.daemon.graph.private_server import private_server

STEMD = Path(sys.executable).with_name("stemd")


def test_four_stems_at_the_seed_preset_are_never_late(environment):
    with private_server(blocksize=1024) as server:
        process = subprocess.Popen(
            [STEMD, "run", "--stems", "4", "--preset", "seed"],
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
