"""A daemon on servers that come and go, and a way to play music through it."""

import threading
from contextlib import contextmanager

import numpy as np

from fake_graph import FakeGraph
from known_sets import TWO
from stemd.daemon.config_file import load_config
from stemd.daemon.control.mixer import Mixer
from stemd.daemon.control.saved_state import StateFile
from stemd.daemon.engine.link import RESERVE_S
from stemd.daemon.engine.networks import LoadedNetworks
from stemd.daemon.errors import ServerError
from stemd.daemon.supervisor.daemon import Daemon
from stemd.daemon.supervisor.notifier import Notifier
from stemd.daemon.supervisor.plan import Plan
from stemd.dsp.scheme import Scheme
from waiting import PATIENCE_S, wait_until

SCHEME = Scheme(T=64, B=1, A=1)
BY_HAND = ["separation.T=64", "separation.B=1", "separation.A=1"]


def passing(window, out):
    out[:] = window[-SCHEME.B - SCHEME.A : -SCHEME.A]


NETWORKS = {"vocals": passing, "accompaniment": passing}


class Servers:
    """Servers that come and go; `join` opens a client of the one that is there."""

    def __init__(self) -> None:
        self.present: FakeGraph | None = None
        self.joined: list[FakeGraph] = []
        self.attempts = 0

    def join(self):
        self.attempts += 1
        if self.present is None:
            raise ServerError("no server answers")
        self.joined.append(self.present)
        return self.present


def new_daemon(
    servers, environment=None, replan=None, state_file=None, load=lambda: dict(NETWORKS)
):
    config = load_config(None)

    def plan_after(before, preset):
        if before:
            return replan(before, preset)
        return Plan(config, config, SCHEME, LoadedNetworks(load), TWO, "mixed")

    state_file = state_file or StateFile(None)
    notifier = Notifier(environment or {})
    return Daemon(config, plan_after, servers.join, Mixer([]), state_file, notifier)


@contextmanager
def on_a_thread(daemon):
    """Run a daemon on a thread of its own until the context ends; yield the thread."""
    thread = threading.Thread(target=daemon.run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        daemon.console.stop()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


SILENCE = np.zeros((2, 256), np.float32)


def play_until(daemon, holds):
    """Play silence."""
    for _ in range(20_000):
        if holds():
            return
        play(daemon, SILENCE)
    raise AssertionError("it did not come to pass in 20 000 cycles")


def play(daemon, block):
    """Play a cycle, and wait until the engine has made what the next one plays."""
    session = daemon.playback.session
    heard = session.client.cycle(block)

    def is_ready(separation) -> bool:
        counters = separation.link.counters()
        reserve = round(RESERVE_S * separation.samplerate)
        is_ahead = counters.delivered - counters.frames >= block.shape[1] + reserve
        return is_ahead or separation.is_stopped

    wait_until(lambda: all(is_ready(each.separation) for each in session.swapper.lives))
    return heard
