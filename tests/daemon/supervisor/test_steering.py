"""From a command, a controller or a message to the audio: within 50 ms, and without a click."""

import socket
import threading
from time import monotonic

import numpy as np
import pytest
from pythonosc.osc_message_builder import build_msg

from fake_graph import FakeGraph
from known_sets import TWO
from stalls import DisturbedError, measure_undisturbed
from stemd.daemon.config_file import load_config
from stemd.daemon.control.client import ControlClient
from stemd.daemon.control.interfaces.control_server import ControlServer
from stemd.daemon.control.interfaces.osc_server import OscServer
from stemd.daemon.control.mixer import Mixer
from stemd.daemon.control.saved_state import StateFile
from stemd.daemon.engine.networks import LoadedNetworks
from stemd.daemon.engine.separation import ENGINE_TIME_S
from stemd.daemon.supervisor import daemon as daemon_module
from stemd.daemon.supervisor.daemon import Daemon
from stemd.daemon.supervisor.notifier import Notifier
from stemd.daemon.supervisor.plan import Plan
from stemd.daemon.supervisor.state import State
from stemd.dsp.scheme import Scheme
from waiting import wait_until

RATE, PERIOD = 44_100, 256
SCHEME = Scheme(T=64, B=1, A=1)
WITHIN_S = 0.050
GAIN, PAD, BYPASS, RECORD = (
    "{cc: 7, does: gain, stem: vocals}",
    "{note: 36, does: mute, stem: vocals, toggles: true}",
    "{cc: 20, does: bypass}",
    "{note: 37, channel: 10, does: record}",
)
MIDI = f"midi.bindings=[{GAIN}, {PAD}, {BYPASS}, {RECORD}]"


def passing(window, out):
    out[:] = window[-SCHEME.B - SCHEME.A : -SCHEME.A]


class Concert:
    """A daemon that plays a sine in real time, on a thread that calls as a server does."""

    def __init__(self) -> None:
        settings = ["midi.enabled=true", "midi.soft_takeover=false", "midi.feedback=true", MIDI]
        networks = LoadedNetworks(lambda: {"vocals": passing, "accompaniment": passing})
        config = load_config(None, settings)
        plan = Plan(config, config, SCHEME, networks, TWO, "mixed")
        self.graph = FakeGraph(RATE, PERIOD)
        self.daemon = Daemon(
            config, lambda *_: plan, lambda: self.graph, Mixer([]), StateFile(None), Notifier({})
        )
        self.heard: list[tuple[float, np.ndarray]] = []
        self.midi: list[bytes] = []
        self.lights: dict[bytes, int] = {}
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self.daemon.run, daemon=True),
            threading.Thread(target=self._play, daemon=True),
        ]
        self._threads[0].start()
        wait_until(lambda: self.daemon.playback.session)
        self._threads[1].start()

    def _play(self) -> None:
        began, frames = monotonic(), 0
        while not self._ending.is_set():
            t = np.arange(frames, frames + PERIOD) / RATE
            block = np.tile(0.5 * np.sin(2 * np.pi * 220 * t), (2, 1)).astype(np.float32)
            self.graph.midi, self.midi = self.midi, []
            self.heard.append((monotonic(), self.graph.cycle(block)[0]))
            self.lights |= {message[:2]: message[2] for message in self.graph.midi_out}
            frames += PERIOD
            self._ending.wait(max(0, began + frames / RATE - monotonic()))

    def loudest(self, blocks: int = 4) -> float:
        """The vocals' loudest sample lately; a block is longer than a cycle of the sine."""
        lately = [float(np.abs(samples).max()) for _, samples in self.heard[-blocks:]]
        return max(lately, default=0.0)

    def close(self) -> None:
        self.daemon.console.stop()
        self._ending.set()
        for thread in self._threads:
            thread.join(10)


@pytest.fixture(scope="module")
def concert():
    patch = pytest.MonkeyPatch()
    patch.setattr(daemon_module, "settle_memory", lambda: None)
    made = Concert()
    wait_until(lambda: made.daemon.playback.state is State.PLAYING and made.loudest() > 0.2)
    yield made
    made.close()
    patch.undo()


@pytest.fixture
def by_socket(concert, tmp_path):
    server = ControlServer(tmp_path / "s", concert.daemon.console)
    server.start()
    with ControlClient(server.path) as client:
        yield lambda mute: client.ask("set", stem="vocals", gain=-90 if mute else 0)
    server.close()


def test_lights_of_controllers_follow_whatever_steers(concert):
    console = concert.daemon.console
    pad, bypass, record = b"\x90\x24", b"\xb0\x14", b"\x99\x25"
    wait_until(lambda: concert.lights == {pad: 0, bypass: 0, record: 0})
    console.mixer.set("vocals", mute=True)
    wait_until(lambda: concert.lights[pad] == 127)
    concert.midi.append(pad + b"\x40")
    wait_until(lambda: concert.lights[pad] == 0)
    for on, light in ((True, 127), (False, 0)):
        console.bypass(on)
        wait_until(lambda light=light: concert.lights[bypass] == light)
    assert concert.lights == {pad: 0, bypass: 0, record: 0}


@pytest.fixture
def by_midi(concert):
    return lambda mute: concert.midi.append(bytes([0xB0, 7, 0 if mute else 95]))


@pytest.fixture
def by_osc(concert):
    server = OscServer("127.0.0.1", 0, concert.daemon.console)
    server.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect(("127.0.0.1", server.port))
        gain = "/stemd/vocals/gain"
        yield lambda mute: out.send(build_msg(gain, [-90.0 if mute else 0.0]).dgram)
    server.close()


@pytest.mark.parametrize("way", ["by_socket", "by_midi", "by_osc"])
def test_a_gain_is_heard_within_50_ms_and_without_a_click(concert, way, request):
    steer = request.getfixturevalue(way)

    def move() -> tuple[float, float]:
        """Return how long it took, and the sharpest bend of what was heard."""
        steer(False)
        wait_until(lambda: concert.loudest() > 0.2)
        took, begin = [], len(concert.heard)
        for mute in (True, False, True, False, True, False):
            before = concert.loudest(1)
            first = len(concert.heard)
            began = monotonic()
            steer(mute)
            wait_until(
                lambda quiet=mute: concert.loudest(1) < 0.01 if quiet else concert.loudest(1) > 0.2
            )
            changed = [
                at
                for at, samples in concert.heard[first:]
                if abs(float(np.abs(samples).max()) - before) > 0.02
            ]
            if not changed:
                raise DisturbedError("it was silent before, for the engine was late")
            took.append(changed[0] - began)
        sound = np.concatenate([samples for _, samples in concert.heard[begin:]])
        return float(np.median(took)), float(np.abs(np.diff(sound, n=2)).max())

    steady = np.abs(np.diff(0.5 * np.sin(2 * np.pi * 220 * np.arange(RATE) / RATE), n=2)).max()
    sharpest = 1.5 * steady / 2 + 1e-4
    took, bend = measure_undisturbed(
        move, lambda it: it[0] >= WITHIN_S or it[1] >= sharpest, spare_s=ENGINE_TIME_S / 2
    )
    assert took < WITHIN_S
    assert bend < sharpest
