"""Four interpreters under a real jackd, in real time, with the bundled networks."""

import re
from contextlib import closing
from threading import Semaphore

import jack

from processes import running, stop
from stemd.daemon.graph.private_server import private_server
from waiting import PATIENCE_S


def test_four_stems_at_the_seed_preset_are_never_late(environment):
    with private_server(blocksize=1024) as server:
        options = ("--stems", "4", "--preset", "seed")
        with running(environment, *options, JACK_DEFAULT_SERVER=server) as (process, log):
            wait_for_graph_to_play(server, seconds=13)
            assert stop(process) == 0
            end = log.wait_for("blocks late")
    log.find("separating into vocals, drums, bass, other with a delay of 266681 frames")
    late, due = map(int, re.search(r"(\d+) of (\d+) blocks late", end).groups())
    assert late == 0, end
    assert due >= 3, end


def wait_for_graph_to_play(server: str, seconds: float) -> None:
    """Wait until the server has played for so long: blocks of three seconds take their time."""
    cycles = Semaphore(0)
    with closing(jack.Client("clock", no_start_server=True, servername=server)) as client:
        client.set_process_callback(lambda frames: cycles.release())
        client.activate()
        for _ in range(int(seconds * client.samplerate / client.blocksize)):
            assert cycles.acquire(timeout=PATIENCE_S), "the server stands still"
