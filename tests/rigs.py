"""Two rigs for one contract: music goes through the daemon's ports, and what came out is kept.

`FakeRig` calls the process callback itself; `JackRig` stands in the graph of a real jackd or
PipeWire with a player and a recorder, and lets jackd run freely (freewheel), as fast as it can, or
in real time.
"""

import ctypes
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

import numpy as np

from decks import Player, Recorder
from fake_graph import FakeGraph
from stalls import DISTURBING_S, DisturbedError, measure_undisturbed
from stemd.daemon.engine.link import MAX_PERIOD, LinkCounters
from stemd.daemon.engine.networks import LoadedNetworks
from stemd.daemon.engine.separation import ENGINE_TIME_S, Report
from stemd.daemon.graph.jack import open_client
from stemd.daemon.graph.patchbay import Patchbay
from stemd.daemon.supervisor.changes import Setup
from stemd.daemon.supervisor.session import Session
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import Scheme
from two_networks import low_and_high
from waiting import PATIENCE_S, wait_until

LONGEST_PERIOD = 1024
"""For which the daemon's delay has room where the server freewheels."""


@dataclass
class Take:
    """What was measured while music was played.

    Attributes
    ----------
    begin : int
        The daemon's frame count when the recording began.
    played, y : array
        What went in and what came out from then on [shape=(channels, frames)].
    first, last : LinkCounters
        Of the daemon's link, when the music began and when it had ended.
    report : Report
    delay : int
        That the daemon declares, in frames.
    in_real_time : bool
        And not as fast as the machine can; only then nothing is late before and after the music.
    result : object
        Of what was done afterwards.
    """

    begin: int
    played: np.ndarray
    y: np.ndarray
    first: LinkCounters
    last: LinkCounters
    report: Report
    delay: int
    in_real_time: bool
    result: object


def measure(
    rig: Callable[..., "Iterator[FakeRig | JackRig]"],
    graph: tuple[str, int, int],
    scheme: Scheme,
    x: Callable[[int], np.ndarray],
    afterwards: Callable[..., object] = lambda rig, session: None,
    networks: Callable[[], LoadedNetworks | None] = lambda: None,
    is_right: Callable[[Take], bool] = lambda take: True,
    **options: object,
) -> Take:
    """Play ``x(delay)`` through a daemon in a graph.

    In real time a busy or virtual machine stands still now and then, for longer than any delay
    bears; servers then lose cycles, or let a client hear an old one. What is late or wrong
    meanwhile is measured anew.

    Parameters
    ----------
    rig : function
        See the fixture.
    graph : tuple
        Kind of server, sample rate, period.
    scheme : Scheme
    x : function
        From the delay in frames to the music.
    afterwards : function
        Called with the rig and the session before they end.
    networks : function
        Loads networks for the scheme; by default two cheap ones.
    is_right : function
        Whether what came out is what it should be.
    options : dict
        Of the rig.
    """

    def take() -> Take:
        with rig(*graph, **options) as r, session_on(r, scheme, networks()) as session:
            watch, delay = Watch(session.separation), session.rt.delay
            begin, played, y = r.play(x(delay), watch)
            counters, report = (watch.first, watch.last), session.separation.report()
            result = afterwards(r, session)
            assert session.separation.failure is None
        taken = Take(begin, played, y, *counters, report, delay, r.is_real_time, result)
        if r.is_mixed and not is_right(taken):
            raise DisturbedError("clients heard each other's old cycles")
        return taken

    return measure_undisturbed(
        take,
        # Before jackd freewheels it plays in real time; what is late then is heard for a while.
        lambda it: is_late(it.first, it.last, it.report) or not is_right(it),
        spare_s(graph),
    )


def is_late(first: LinkCounters, last: LinkCounters, report: Report) -> bool:
    """Whether anything was late, or lost."""
    return (last.late_frames, last.lost_frames) != (first.late_frames, 0) or bool(
        report.blocks.late
    )


def spare_s(graph: tuple[str, int, int]) -> float:
    """Return for how long the machine may stand still without anything being late that has as much
    room as a rig gives it in real time, or lost by the server; with some to spare."""
    kind, samplerate, period = graph
    longest = MAX_PERIOD if kind in ("pipewire", "desktop") else max(LONGEST_PERIOD, period)
    return min(0.5 * ((longest - period) / samplerate + ENGINE_TIME_S), DISTURBING_S)


class FakeRig:
    longest_period = LONGEST_PERIOD
    is_real_time = is_mixed = has_mix = False

    def __init__(self, samplerate: int, period: int) -> None:
        self.client = FakeGraph(samplerate, period)

    def play(self, x: np.ndarray, frames_so_far) -> tuple[int, np.ndarray, np.ndarray]:
        """Play ``x`` and record.

        Returns the daemon's frame count when the recording began, what went in and what came out
        from then on [shape=(channels, frames)]. ``frames_so_far`` tells that count, and is asked
        when the music begins and when it has ended.
        """
        self.client.freewheel(True)
        start = frames_so_far()
        size = self.client.period
        x = np.pad(x, ((0, 0), (0, -x.shape[1] % size)))
        blocks = [self.client.cycle(x[:, i : i + size]) for i in range(0, x.shape[1], size)]
        frames_so_far()
        return start, x, np.concatenate(blocks, axis=1)

    def ports(self) -> list[str]:
        return self.client.ports

    def close(self) -> None:
        pass


class JackRig:
    """The daemon's place between a player and a recorder, which hears the player too.

    Parameters
    ----------
    kind : str
        "jack" or "pipewire".
    server : str, optional
        Of JACK.
    sides : str
        Of the daemon's inputs that are connected.
    before, behind : int
        Frames of latency that the player and the recorder declare.
    freewheels : bool
        Whether the music is played as fast as the machine can, and not in real time. A
        freewheeling PipeWire (0.3.65) begins a cycle after a period at the latest, whether or not
        the one before has ended, which is thereby lost for some.

    Attributes
    ----------
    is_real_time : bool
    is_mixed : bool
        Whether clients may have heard each other's old cycles in the last music.
    longest_period : int
        Frames for which the daemon's delay has room; in real time the longest that it can have.
    rt : RealtimeSide
        The daemon's; see `session_on`.
    has_mix : bool
        Whether the daemon has ports for the mix.
    """

    def __init__(
        self,
        kind: str,
        server=None,
        sides="LR",
        before: int = 0,
        behind: int = 0,
        freewheels: bool = True,
        has_mix: bool = False,
    ):
        self.client = open_client("stemd", kind, server)
        self.player = Player(kind, server, before)
        self.recorder: Recorder | None = None
        self._kind, self.server = kind, server
        self._freewheels = freewheels
        self.is_real_time = not freewheels
        self.is_mixed = False
        self.longest_period = LONGEST_PERIOD if freewheels else MAX_PERIOD
        self.has_mix = has_mix
        self._sides, self._behind = sides, behind

    def connect(self) -> None:
        """Bring the recorder, and connect all that the music goes through."""
        outputs = [port for port in self.ports() if not port.startswith("in_")]
        ears = ["dry_L", "dry_R", *outputs]
        self.recorder = Recorder(self._kind, self.server, ears, self._behind)
        dry, wet = self.recorder.inputs[:2], self.recorder.inputs[2:]
        links = list(zip(self.player.outputs, dry, strict=True))
        links += [(f"{self.client.name}:{o}", ear) for o, ear in zip(outputs, wet, strict=True)]
        links += [(f"player:out_{side}", f"{self.client.name}:in_{side}") for side in self._sides]
        for link in links:  # PipeWire shows others' ports some time after they are made
            wait_until(lambda link=link: self.player.client.graph.connect(link))
        if self._kind == "pipewire":
            wait_until(lambda: active_links() == len(links))
        self._let_cycles_pass()

    def play(self, x: np.ndarray, frames_so_far) -> tuple[int, np.ndarray, np.ndarray]:
        """As `FakeRig.play`. What went in is recorded too, in the same cycles, from its first
        sound on."""
        if not self.recorder:
            self.connect()
        if self._freewheels:
            self._freewheel(True)
            self._let_cycles_pass()
        ahead, before = self._ahead(frames_so_far), self._drop_outs()
        self.recorder.record(x.shape[1])
        self.player.music = x
        recording = self.recorder.recording()
        if recording is None or self._ahead(frames_so_far) != ahead:
            assert self.is_real_time, "a server that freewheels left out a cycle"
            raise DisturbedError("the server left out a cycle")
        self.is_mixed = self._may_be_mixed(before)
        if self._freewheels:
            self._freewheel(False)
        return self.recorder.start + ahead, recording[:2], recording[2:]

    def _ahead(self, frames_so_far) -> int:
        """By how much the daemon's frame count is ahead of the recorder's in the same cycle."""
        if self._freewheels:
            with self.player.holding():
                return frames_so_far() - self.recorder.link.counters().frames
        found = []
        while len(found) < 100:
            before, daemon = self.recorder.link.counters().frames, frames_so_far()
            if self.recorder.link.counters().frames == before:
                found.append(daemon - before)
        return min(found)  # the daemon's cycle comes first, so some were a period more

    def _freewheel(self, on: bool) -> None:
        self.player.client._client.set_freewheel(on)
        wait_until(lambda: all(rt.freewheeling == on for rt in self._everybody()))

    def _let_cycles_pass(self) -> None:
        """Wait until everybody is called as things are now."""
        last = [rt.counters().periods + 2 for rt in self._everybody()]
        wait_until(
            lambda: all(
                rt.counters().periods >= n for rt, n in zip(self._everybody(), last, strict=True)
            )
        )

    def _drop_outs(self) -> list[tuple[int, int]]:
        """How many were reported to each client, and how often its clock jumped."""
        counters = [rt.counters() for rt in self._everybody()]
        return [(each.reported, each.jumps) for each in counters]

    def _may_be_mixed(self, before: list[tuple[int, int]]) -> bool:
        """Whether clients may have heard each other's old cycles since then.

        JACK2 reports that it begins a cycle before some have ended the last one. PipeWire reports
        nothing; a cycle that it leaves out for all of them does no harm.
        """
        more = {tuple(np.subtract(*each)) for each in zip(self._drop_outs(), before, strict=True)}
        return len(more) > 1 or any(reported for reported, _ in more)

    def _everybody(self):
        return self.player.rt, self.rt, self.recorder.rt

    def latency(self, port: str, mode: int) -> tuple[int, int]:
        """What the server tells the player of a port."""
        return latency(self.client._jack, self.player.client._client, port, mode)

    def await_latency(self, session: Session, port: str, mode: int, frames: int) -> None:
        """Let everybody answer until the port has this latency."""

        def holds() -> bool:
            session.tick(session.rt.wait_events(0), monotonic())
            self.player.answer()
            self.recorder.answer()
            return self.latency(port, mode) == (frames, frames)

        wait_until(holds)

    def ports(self) -> list[str]:
        ours = f"{self.client.name}:"
        return [n.removeprefix(ours) for n in self.client.graph.port_names() if n.startswith(ours)]

    def close(self) -> None:
        self.player.close()
        if self.recorder:
            self.recorder.close()


@contextmanager
def session_on(rig, scheme: Scheme, networks: LoadedNetworks | None = None):
    """The daemon in the rig's graph, by default with two cheap networks."""
    networks = networks or LoadedNetworks(lambda: low_and_high(scheme))
    setup = Setup(networks, scheme, MaskExtension.MEAN, rig.longest_period)
    session = Session(rig.client, setup, Patchbay({}), has_mix=rig.has_mix)
    rig.rt = session.rt
    try:
        yield session
    finally:
        session.close()


class Watch:
    """Tells the daemon's frame count, and keeps what was reported when it was asked.

    What it reports later is of another time: after the music jackd runs at its own pace again, and
    a period longer than `LONGEST_PERIOD` may then be late.
    """

    def __init__(self, separation) -> None:
        self._separation = separation
        self.first = self.last = None

    def __call__(self) -> int:
        self.last = self._separation.link.counters()
        self.first = self.first or self.last
        return self.last.frames


def latency(jack, client, name: str, mode: int) -> tuple[int, int]:
    """What the server tells others of a port, as `jack_lsp -l` shows it."""
    pointer = int(jack._ffi.cast("uintptr_t", client.get_port_by_name(name)._ptr))
    found = (ctypes.c_uint32 * 2)()
    ctypes.CDLL(jack._libname).jack_port_get_latency_range(ctypes.c_void_p(pointer), mode, found)
    return found[0], found[1]


def active_links() -> int:
    """Through how many of PipeWire's connections audio goes; it takes a while."""
    dump = subprocess.check_output(["pw-dump"], timeout=PATIENCE_S)
    links = [each for each in json.loads(dump) if each["type"] == "PipeWire:Interface:Link"]
    return sum(link["info"]["state"] == "active" for link in links)
