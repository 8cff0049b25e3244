"""A player and a recorder for real servers, whose callbacks are stemd's own compiled ones.

So nothing that they play or hear is lost, however slow Python is: while the server freewheels, its
cycles wait for them, and else they have time enough.
"""

from abc import ABC, abstractmethod
from contextlib import contextmanager
from threading import Event, Thread

import numpy as np

from stemd.daemon.engine.link import RESERVE_S, Link
from stemd.daemon.engine.realtime import Event as Notice
from stemd.daemon.engine.realtime import RealtimeSide
from stemd.daemon.graph.jack import open_client
from waiting import wait_until

AHEAD = 16_384
"""Frames that are played ahead."""


class Deck(ABC):
    """A client, and the thread that gives as many frames as it has heard.

    Attributes
    ----------
    inputs, outputs : list of str
        Whole names of its ports.
    """

    def __init__(self, name: str, kind: str, server, inputs, outputs, delay: int) -> None:
        self.client = open_client(name, kind, server)
        samplerate = self.client.samplerate
        self.inputs = [f"{self.client.name}:{port}" for port in inputs]
        self.outputs = [f"{self.client.name}:{port}" for port in outputs]
        self.rt = RealtimeSide(len(inputs), len(outputs), samplerate)
        self.link = Link(len(inputs), len(outputs), AHEAD, delay, samplerate)
        self._reserve = round(RESERVE_S * samplerate)
        self._is_held = self._stopping = False
        self._thread = Thread(target=self._run, daemon=True)
        self.client.bind(self.rt.callbacks, inputs, outputs)
        self.rt.attach(self.link)
        self.client.activate()
        self.client.declare_latency()
        self._thread.start()

    @abstractmethod
    def give(self, heard: np.ndarray) -> np.ndarray:
        """Take what was heard; return as much to play [shape=(channels, frames)]."""

    def answer(self) -> None:
        """Tell PipeWire our latency, if it has asked."""
        if Notice.LATENCY in self.rt.wait_events(0):
            self.rt.answer_latency()

    @contextmanager
    def holding(self):
        """Let a freewheeling server stand still in this client's cycle."""
        self._is_held = True
        wait_until(self._is_awaited)
        yield
        self._is_held = False

    def close(self) -> None:
        self._stopping = True
        self.link.release()
        self.client.close()
        self._thread.join()
        self.rt.callbacks.detach()

    def _is_awaited(self) -> bool:
        counters = self.link.counters()
        return counters.delivered < counters.frames + self._reserve

    def _run(self) -> None:
        block = np.empty((self.link.inputs, 4096), np.float32)
        while not self._stopping:
            self.link.wait(0.01)
            while not self._is_held and (frames := self.link.read(block)):
                self.link.write(self.give(block[:, :frames]))


class Player(Deck):
    """Plays silence, and music once it has some."""

    def __init__(self, kind: str, server=None, delay: int = 0) -> None:
        self.music = np.zeros((2, 0), np.float32)
        super().__init__("player", kind, server, ["in_L", "in_R"], ["out_L", "out_R"], delay)

    def give(self, heard: np.ndarray) -> np.ndarray:
        frames = heard.shape[1]
        block, self.music = self.music[:, :frames], self.music[:, frames:]
        return np.pad(block, ((0, 0), (0, frames - block.shape[1])))


class Recorder(Deck):
    """Keeps what it hears from the first sound of its first two inputs on."""

    def __init__(self, kind: str, server, ports, delay: int = 0) -> None:
        self.start: int | None = None
        """The frame of that sound, of those heard so far."""
        self._tape = np.full((len(ports), 0), np.nan, np.float32)
        self._heard = self._recorded = 0
        self._ended = Event()
        super().__init__("recorder", kind, server, ports, ["out_L", "out_R"], delay)

    def record(self, frames: int) -> None:
        """Have so many frames kept."""
        self._tape = np.full((len(self.inputs), frames), np.nan, np.float32)

    def recording(self) -> np.ndarray | None:
        """Wait for its end [shape=(channels, frames)]; None where none of the music comes."""
        heard, frames = self._heard, self._tape.shape[1]
        wait_until(
            lambda: (
                self._ended.is_set()
                or (self.start is None and self._heard > heard + 2 * AHEAD + frames)
            )
        )
        return self._tape if self._ended.is_set() else None

    def give(self, heard: np.ndarray) -> np.ndarray:
        frames = heard.shape[1]
        sounds = heard[:2].any(axis=0)
        if self.start is None and sounds.any():
            self.start = self._heard + int(sounds.argmax())
        if self.start is not None:
            part = heard[:, max(self.start - self._heard, 0) :]
            rest = self._tape[:, self._recorded :][:, : part.shape[1]]
            rest[:] = part[:, : rest.shape[1]]
            self._recorded += rest.shape[1]
            if self._recorded == self._tape.shape[1]:
                self._ended.set()
        self._heard += frames
        return np.zeros((2, frames), np.float32)
