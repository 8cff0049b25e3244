"""The Music Player Daemon, which deactivates its JACK client at each stop and keeps its ports."""

import random
import subprocess
from contextlib import ExitStack
from pathlib import Path
from time import sleep

import pytest

from peer_programs import started, write_song
from stemd.daemon.graph.patchbay import TOGETHER_S
from waiting import wait_until

CONFIG = """
music_directory "{home}/music"
playlist_directory "{home}"
db_file "{home}/mpd.db"
bind_to_address "{home}/mpd.socket"
audio_output {{
    type "jack"
    name "jack"
    client_name "mpd"
    auto_destination_ports "no"
}}
"""

WISH = "jack.autoconnect={in_L: 'mpd:left', in_R: 'mpd:right'}"
LEFT, RIGHT = ("mpd:left", "stemd:in_L"), ("mpd:right", "stemd:in_R")
ACTIONS = ("play", "pause", "stop", "next", "restart", "stop and play")


class Mpd:
    """MPD with three songs, one of them at another rate."""

    def __init__(self, home, tool) -> None:
        self._home, self._tool = home, tool
        self._running = ExitStack()
        folder = f"{home['HOME']}/music"
        subprocess.run(["mkdir", folder], check=True)
        for name, rate in (("a", 48_000), ("b", 44_100), ("c", 48_000)):
            write_song(f"{folder}/{name}.wav", 60, rate)
        self._config = f"{home['HOME']}/mpd.conf"
        Path(self._config).write_text(CONFIG.format(home=home["HOME"]))

    def start(self) -> None:
        self._running.enter_context(started(["mpd", "--no-daemon", self._config], self._home))
        wait_until(lambda: "volume" in self.mpc("status", check=False))
        self.mpc("update", "--wait")
        self.mpc("clear")
        self.mpc("add", "a.wav", "b.wav", "c.wav")
        self.mpc("repeat", "on")

    def stop(self) -> None:
        self._running.close()

    def mpc(self, *words: str, check: bool = True) -> str:
        return self._tool("mpc", "--host", f"{self._home['HOME']}/mpd.socket", *words, check=check)

    def do(self, action: str) -> None:
        if action == "restart":
            self.stop()
            self.start()
            self.mpc("play")
        elif action == "stop and play":
            self.mpc("stop")
            self.mpc("play")
        elif action == "next":
            self.mpc("play")
            self.mpc("next")
        else:
            self.mpc(action)

    @property
    def plays(self) -> bool:
        return "[playing]" in self.mpc("status")


@pytest.fixture
def mpd(home, tool):
    player = Mpd(home, tool)
    try:
        player.start()
        yield player
    finally:
        player.stop()


def test_it_is_connected_whenever_it_plays(stemd, mpd):
    draw = random.Random(1)
    with stemd(WISH) as desk:
        for _ in range(20):
            action = draw.choice(ACTIONS)
            mpd.do(action)
            if mpd.plays:
                wait_until(lambda: {LEFT, RIGHT} <= desk.connections())
        assert not desk.status()["disconnected"]


def test_what_a_user_takes_down_stays_so_until_a_reload(stemd, mpd, tool):
    with stemd(WISH) as desk:
        mpd.do("play")
        wait_until(lambda: {LEFT, RIGHT} <= desk.connections())
        tool("jack_disconnect", *LEFT)
        sleep(2 * TOGETHER_S)  # as long as a user takes at least, to stop the player next
        mpd.do("stop and play")
        draw = random.Random(2)
        for _ in range(6):
            mpd.do(draw.choice(ACTIONS))
            if mpd.plays:
                wait_until(lambda: RIGHT in desk.connections())
            assert LEFT not in desk.connections()
        wait_until(lambda: desk.status()["disconnected"] == [list(LEFT)])
        mpd.do("play")
        desk.ask("reload")
        wait_until(lambda: {LEFT, RIGHT} <= desk.connections())
        assert not desk.status()["disconnected"]
