"""Who disconnects a player, on a real PipeWire: it itself, by becoming inactive, or a user."""

import subprocess
import sys
from contextlib import closing
from itertools import chain, repeat
from time import monotonic, sleep

import pytest

from servers import PipeWire
from stemd.daemon.engine.realtime import RealtimeSide
from stemd.daemon.graph.jack import open_client
from stemd.daemon.graph.patchbay import SETTLED_S, Patchbay
from stemd.daemon.graph.stopped_clients import LATE_S
from waiting import wait_until

INPUTS = ("in_L", "in_R")
LEFT, RIGHT = ("mpd:left", "stemd:in_L"), ("mpd:right", "stemd:in_R")

PLAYER = """
import sys
from time import sleep
from stemd.daemon.graph.libjack import candidates, load

library, *_ = candidates("pipewire")
client = load(library).Client("mpd", no_start_server=True)
left, right = client.outports.register("left"), client.outports.register("right")

def see():
    # Wait until this client knows its connections: others, it would not undo.
    while not all(map(client.get_all_connections, (left, right))):
        sleep(0.005)

for line in sys.stdin:
    exec(line)
    print(flush=True)
"""


class Player:
    """A JACK client in a process of its own, as each player is."""

    def __init__(self, environment) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PLAYER],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, *statements: str) -> None:
        for each in statements:
            self._process.stdin.write(f"{each}\n")
        self._process.stdin.flush()
        for _ in statements:
            assert self._process.stdout.readline(), "it ended"

    def close(self) -> None:
        self._process.communicate(timeout=30)


class Desk:
    """A client whose inputs a patchbay connects to the player."""

    def __init__(self) -> None:
        self._client = open_client("stemd", "pipewire")
        self._callbacks = RealtimeSide(2, 0, self._client.samplerate).callbacks
        self._client.bind(self._callbacks, INPUTS, [])
        self._client.activate()
        self.patchbay = Patchbay({"in_L": "mpd:left", "in_R": "mpd:right"})

    def look(self) -> set[tuple[str, str]]:
        """Look as often as the daemon does, and return what is connected."""
        self.patchbay.look(self._client.graph, INPUTS, monotonic())
        return self._client.graph.connections()

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def server(tmp_path, monkeypatch):
    with closing(PipeWire(48_000, 256, tmp_path)) as it:
        it.start()
        monkeypatch.setenv("XDG_RUNTIME_DIR", it.environment["XDG_RUNTIME_DIR"])
        yield it


@pytest.fixture
def player(server):
    with closing(Player(server.environment)) as it:
        yield it


@pytest.fixture
def desk(server):
    with closing(Desk()) as it:
        yield it


def test_a_player_is_connected_whenever_it_is_active(player, desk):
    player.do("client.activate()")
    wait_until(lambda: desk.look() == {LEFT, RIGHT})
    player.do("see()")
    for pauses in chain(repeat(False, 3), repeat(True, 2)):
        player.do("client.deactivate()", *(() if pauses else ("client.activate()",)))
        if pauses:
            wait_until(lambda: not desk.look())
            player.do("client.activate()")
        else:  # the loss may be seen late; where activity is reported, it may not be seen at all
            until = monotonic() + SETTLED_S / 2
            wait_until(lambda at=until: desk.look() is not None and monotonic() > at)
        wait_until(lambda: desk.look() == {LEFT, RIGHT})
        player.do("see()")
    assert not desk.patchbay.disconnected


@pytest.mark.parametrize("by", ["a program", "a script"])
def test_all_that_a_user_takes_down_at_once_stays_so(player, desk, server, by, caplog):
    player.do("client.activate()")
    wait_until(lambda: desk.look() == {LEFT, RIGHT})
    sleep(1.1 * LATE_S)  # a user is slower
    if by == "a program":
        player.do(*(f"client.disconnect{each}" for each in (LEFT, RIGHT)))
    else:
        for each in (LEFT, RIGHT):
            subprocess.run(["pw-link", "-d", *each], env=server.environment, check=True)
    wait_until(lambda: desk.look() is not None and desk.patchbay.disconnected == {LEFT, RIGHT})
    until = monotonic() + 2 * SETTLED_S
    wait_until(lambda: desk.look() or monotonic() > until)
    assert not desk.look()
    player.do("client.deactivate()", "client.activate()")
    until = monotonic() + 2 * SETTLED_S
    wait_until(lambda: desk.look() or monotonic() > until)
    assert not desk.look()
    said = [each for each in caplog.messages if "left so" in each]
    assert len(said) == 1


def test_a_player_that_stops_after_a_user_took_down_one_cable_keeps_the_other(player, desk):
    player.do("client.activate()")
    wait_until(lambda: desk.look() == {LEFT, RIGHT})
    sleep(1.1 * LATE_S)
    player.do(f"client.disconnect{LEFT}")
    wait_until(lambda: desk.look() == {RIGHT} and desk.patchbay.disconnected == {LEFT})
    player.do("client.deactivate()")
    wait_until(lambda: not desk.look())
    player.do("client.activate()")
    wait_until(lambda: desk.look() == {RIGHT})
    assert desk.patchbay.disconnected == {LEFT}
