"""Two rigs for one contract: music goes through the daemon's ports, and what came out is kept.

`FakeRig` calls the process callback itself; `JackRig` stands in the graph of a real jackd or
PipeWire with a player and a recorder and lets it run freely (freewheel), as fast as it can.
"""

import json
import subprocess
from threading import Event

import numpy as np

from fake_graph import FakeGraph
from stemd.daemon.jack_graph import open_client


class Tape:
    """What the player plays and the recorder records, both on the server's thread."""

    def __init__(self, x: np.ndarray, channels: int, frames_so_far) -> None:
        self.rolling = False
        self.start: int | None = None
        self.ended = Event()
        self.recording = np.full((channels, x.shape[1]), np.nan, np.float32)
        self._x = x
        self._played = self._recorded = 0
        self._frames_so_far = frames_so_far

    def play(self, frames: int, ports) -> None:
        block = self._x[:, self._played : self._played + frames] if self.rolling else self._x[:, :0]
        self._played += block.shape[1]
        for port, channel in zip(ports, block, strict=True):
            buffer = port.get_array()
            buffer[: len(channel)] = channel
            buffer[len(channel) :] = 0

    def record(self, frames: int, ports) -> None:
        if not self._played or self.ended.is_set():
            return
        if self.start is None:  # the daemon's cycle came before this one
            self.start = self._frames_so_far() - frames
        rows = self.recording[:, self._recorded : self._recorded + frames]
        for row, port in zip(rows, ports, strict=True):
            row[:] = port.get_array()[: len(row)]
        self._recorded += rows.shape[1]
        if self._recorded == self.recording.shape[1]:
            self.ended.set()


class FakeRig:
    def __init__(self, samplerate: int, period: int) -> None:
        self.client = FakeGraph(samplerate, period)

    def play(self, x: np.ndarray, frames_so_far) -> tuple[int, np.ndarray, np.ndarray]:
        """Play ``x`` and record.

        Returns the daemon's frame count when the recording began, what went in and what came out
        from then on [shape=(channels, frames)]. ``frames_so_far`` tells that count.
        """
        self.client.freewheel(True)
        start = frames_so_far()
        size = self.client.period
        x = np.pad(x, ((0, 0), (0, -x.shape[1] % size)))
        blocks = [self.client.cycle(x[:, i : i + size]) for i in range(0, x.shape[1], size)]
        return start, x, np.concatenate(blocks, axis=1)

    def ports(self) -> list[str]:
        return self.client.ports

    def close(self) -> None:
        pass


class JackRig:
    def __init__(self, kind: str, server: str | None = None) -> None:
        self.client = open_client("stemd", kind, server)
        self._is_pipewire = kind == "pipewire"
        jack = self.client._jack
        self._player = jack.Client("player", no_start_server=True, servername=server)
        self._recorder = jack.Client("recorder", no_start_server=True, servername=server)

    def play(self, x: np.ndarray, frames_so_far) -> tuple[int, np.ndarray, np.ndarray]:
        """As `FakeRig.play`. What went in is recorded too, in the same cycles."""
        outputs = [port for port in self.ports() if not port.startswith("in_")]
        tape = Tape(x, 2 + len(outputs), frames_so_far)
        sources = [self._player.outports.register(f"out_{n}") for n in range(2)]
        sinks = [self._recorder.inports.register(f"in_{n}") for n in range(2 + len(outputs))]
        self._player.set_process_callback(lambda frames: tape.play(frames, sources))
        self._recorder.set_process_callback(lambda frames: tape.record(frames, sinks))
        self._player.activate()
        self._recorder.activate()
        for source, sink, side in zip(sources, sinks, "LR", strict=False):
            self._player.connect(source, f"{self.client.name}:in_{side}")
            self._player.connect(source, sink)
        for name, sink in zip(outputs, sinks[2:], strict=True):
            self._recorder.connect(f"{self.client.name}:{name}", sink)
        self._wait_until(self._links_are_active)
        self._player.set_freewheel(True)
        self._wait_until(lambda: self.client._rt.freewheeling)
        tape.rolling = True
        assert tape.ended.wait(60), "the recording did not end"
        self._player.set_freewheel(False)
        assert tape.start is not None
        return tape.start, tape.recording[:2], tape.recording[2:]

    def _links_are_active(self) -> bool:
        """Tell whether audio goes where connections are: in PipeWire that takes a while."""
        if not self._is_pipewire:
            return True
        dump = subprocess.run(["pw-dump"], capture_output=True, check=True).stdout
        links = [each for each in json.loads(dump) if each["type"] == "PipeWire:Interface:Link"]
        return all(each["info"]["state"] == "active" for each in links)

    @staticmethod
    def _wait_until(holds) -> None:
        pause = Event()
        for _ in range(500):
            if holds():
                return
            pause.wait(0.01)
        raise AssertionError("it never came to pass")

    def ports(self) -> list[str]:
        ours = self._player.get_ports(f"^{self.client.name}:")
        return [port.shortname for port in ours]

    def close(self) -> None:
        self._player.close()
        self._recorder.close()
