"""Twenty open pages and a script that floods: no block is late at the shortest delay."""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from processes import running
from stalls import measure_undisturbed
from stemd.daemon.control.client import ControlClient
from stemd.daemon.engine.scheduling import wanted_below
from stemd.daemon.graph.private_server import private_server
from waiting import until

FLOODS = Path(__file__).parents[3] / "endurance" / "floods.py"
WEB_PORT = 9463
"""The one that `FLOODS` knows."""

LIVE = ("separation.T=64", "separation.B=3", "separation.A=0", "separation.mirror=8")
"""The longest of the schemes of that preset, which would be chosen by measuring this machine."""

BLOCKS, LOOK_S = 60, 0.25
SPARE_S = 0.01
"""A network that stands still for so long is in time all the same."""


@pytest.fixture
def client(environment, tmp_path):
    path = tmp_path / "socket"
    wishes = (f"control.socket={path}", f"web.port={WEB_PORT}", *LIVE)
    settings = [part for wish in wishes for part in ("--set", wish)]
    with (
        private_server(blocksize=256) as name,
        running(environment, *settings, JACK_DEFAULT_SERVER=name),
        ControlClient(path) as client,
    ):
        client.path = path
        yield client


@contextmanager
def flooding(path):
    root = FLOODS.parents[2]
    environment = {"PYTHONPATH": f"{root}:{root / 'tests'}:{FLOODS.parent}", "PATH": ""}
    command = [sys.executable, str(FLOODS), "--flood", "web", str(path)]
    process = subprocess.Popen(command, env=environment)
    try:
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def wait_for_blocks(client, number):
    """Wait until so many more blocks are made; return the status before and after."""
    before = client.status()
    for _ in until(lambda: client.status().blocks.total >= before.blocks.total + number):
        Event().wait(LOOK_S)
    return before, client.status()


def late(pair):
    before, after = pair
    return after.blocks.late - before.blocks.late


def test_no_block_is_late_while_pages_are_open_and_one_floods(client):
    wait_for_blocks(client, 20)
    with flooding(client.path):
        wait_for_blocks(client, 20)  # it starts
        pair = measure_undisturbed(
            lambda: wait_for_blocks(client, BLOCKS),
            late,
            SPARE_S,
            priority=wanted_below(client.status().server.priority).workers,
        )
    assert late(pair) == 0
    assert pair[1].blocks.total - pair[0].blocks.total >= BLOCKS
    assert pair[1].mixer["vocals"].gain != 0, "the flood has set it"
