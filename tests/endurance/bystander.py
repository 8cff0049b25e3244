"""A program beside the daemon in the server's graph: plays it a song and hears its stems.

`bystander.py KIND STEM …` joins the server of that kind, again after each of its ends, and prints
what it notices as lines of JSON, ten a second. Its callback is stemd's own real-time side, so it
counts what the server's thread sees, whatever its Python does. It makes connections in the first
graph only; in the next ones that is the daemon's business.
"""

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from time import monotonic

import numpy as np
import soundfile

from stemd.daemon.engine.link import Link
from stemd.daemon.engine.realtime import Event, RealtimeSide
from stemd.daemon.errors import ServerError
from stemd.daemon.graph.client import Connection
from stemd.daemon.graph.jack import JackClient, open_client
from stemd.dsp.arrays import Waveform

SONG = Path(__file__).parents[2] / "daemon" / "cli" / "song" / "slow-motion-dream.mp3"

NAME = "bystander"

BEGIN = 20 * 44_100
"""Where the song is begun: its beginning is silent."""

AHEAD = 16_384
"""Frames that are played ahead, so that Python need not hurry."""

REPORT_S = 0.1

RETRY_S = 0.05


class Bystander:
    """The program in one server's graph."""

    def __init__(self, client: JackClient, stems: Sequence[str], song: Waveform) -> None:
        self.client = client
        hears = [f"{stem}_{side}" for stem in stems for side in "LR"]
        self.rt = RealtimeSide(len(hears), 2, client.samplerate)
        self.wanted: set[Connection] = {
            *((f"{NAME}:out_{side}", f"stemd:in_{side}") for side in "LR"),
            *((f"stemd:{port}", f"{NAME}:{port}") for port in hears),
        }
        self._link = Link(len(hears), 2, AHEAD, AHEAD, client.samplerate)
        self._song = song
        self._stopping = Flag()
        self._player = Thread(target=self._play, daemon=True)
        client.bind(self.rt.callbacks, hears, ["out_L", "out_R"])
        self.rt.attach(self._link)
        client.activate()
        self._player.start()

    def connect(self) -> bool:
        """Make the connections that are missing; tell whether all are there."""
        missing = self.wanted - self.client.graph.connections()
        return len([each for each in missing if self.client.graph.connect(each)]) == len(missing)

    def report(self) -> dict[str, object]:
        """Tell what was counted, and how loud the stems were since the last time."""
        heard, _ = self.rt.peaks()
        there = self.client.graph.connections() & self.wanted
        return {"heard": heard, "connections": len(there), **asdict(self.rt.counters())}

    def close(self) -> None:
        """Leave the graph."""
        self._stopping.set()
        self.client.close()
        self._player.join()
        self.rt.callbacks.detach()

    def _play(self) -> None:
        """Play the song over and over, as much as was heard."""
        position, heard = BEGIN, np.empty((self._link.inputs, 4096), np.float32)
        while not self._stopping.is_set():
            self._link.wait(0.1)
            while frames := self._link.read(heard):
                at = np.arange(position, position + frames) % self._song.shape[1]
                self._link.write(self._song[:, at])
                position += frames


def join(kind: str) -> JackClient | None:
    """Join the server's graph, if it answers."""
    with suppress(ServerError):
        return open_client(NAME, kind)
    return None


def tell(**what: object) -> None:
    """Print a line."""
    print(json.dumps({"at": monotonic(), **what}), flush=True)


def main(kind: str, stems: Sequence[str]) -> None:
    """Go from server to server until standard output is closed."""
    song = np.ascontiguousarray(soundfile.read(SONG, dtype="float32")[0].T)
    pause, connected = Flag(), False
    while True:
        client = join(kind)
        if client is None:
            pause.wait(RETRY_S)
            continue
        try:
            bystander = Bystander(client, stems, song)
        except ServerError:
            client.close()
            continue
        tell(joined=client.samplerate)
        try:
            while client.is_alive() and Event.SHUTDOWN not in bystander.rt.wait_events(0):
                connected = connected or bystander.connect()
                tell(**bystander.report())
                pause.wait(REPORT_S)
        finally:
            bystander.close()
        tell(left=True)


if __name__ == "__main__":
    with suppress(BrokenPipeError, KeyboardInterrupt):
        main(sys.argv[1], sys.argv[2:])
