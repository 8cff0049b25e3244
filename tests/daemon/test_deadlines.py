"""What is due is told by the output ring: long periods bring several blocks at once."""

from dataclasses import fields, replace
from threading import Event, Thread
from time import monotonic, sleep

import numpy as np
import pytest

from fake_graph import FakeGraph
from stalls import measure_undisturbed
from stemd.daemon.engine.link import MAX_PERIOD, RESERVE_S, LinkCounters
from stemd.daemon.engine.networks import LoadedNetworks
from stemd.daemon.engine.scheduling import set_priority
from stemd.daemon.engine.separation import OVERLOADED_AFTER
from stemd.daemon.graph.patchbay import Patchbay
from stemd.daemon.presets import PRESETS
from stemd.daemon.supervisor.changes import Setup
from stemd.daemon.supervisor.session import Session
from stemd.daemon.supervisor.state import State
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import SAMPLERATE, Scheme
from waiting import PATIENCE_S

PRIORITY = 20

SHARE = 0.25
"""Of a block's time that each network takes, on any machine: it sleeps."""

PERIODS = 6
"""Few, so that a machine that stands still now and then does so in few takes."""

SPARE_S = 0.005
"""For how long all may stand still, and several times, without anything being late."""


def taking(share: float, scheme: Scheme):
    """A network that passes what it hears, after a share of the time of a block."""
    block_s = scheme.block_s
    last = scheme.heard - scheme.A

    def network(window, out):
        sleep(share * block_s)
        out[:] = window[last - scheme.B : last]

    return network


def play(session: Session, graph: FakeGraph, periods: int) -> set[State]:
    """Let the server's cycles pass in real time; return the states that were seen.

    With priority, where that is permitted: the machine may be busy with other tests.
    """

    def serve() -> None:
        set_priority(PRIORITY)
        block = np.zeros((2, graph.period), np.float32)
        began = monotonic()
        for number in range(1, periods + 1):
            graph.cycle(block)
            sleep(max(began + number * graph.period / graph.samplerate - monotonic(), 0))

    server, states = Thread(target=serve), set()
    server.start()
    while server.is_alive():
        session.tick(session.rt.wait_events(0.02), monotonic())
        states.add(session.state)
    return states


@pytest.mark.parametrize("period", [4096, 8192])
@pytest.mark.parametrize("preset", ["live", "balanced"])
def test_blocks_that_come_within_one_period_are_in_time(preset, period):
    scheme = PRESETS[preset][0]

    def measure():
        graph = FakeGraph(SAMPLERATE, period)
        networks = LoadedNetworks(
            lambda: {stem: taking(SHARE, scheme) for stem in ("vocals", "accompaniment")}
        )
        session = Session(graph, Setup(networks, scheme, MaskExtension.MEAN, 1024), Patchbay({}))
        try:
            states = play(session, graph, PERIODS)
            report = session.separation.report()
        finally:
            session.close()
        return report, states

    report, states = measure_undisturbed(
        measure, lambda it: it[0].blocks.late or it[0].link.late_periods, SPARE_S
    )
    assert report.blocks.total >= OVERLOADED_AFTER
    assert (report.blocks.late, report.link.late_periods) == (0, 0)
    assert State.OVERLOADED not in states


@pytest.mark.parametrize("period", [16, 100, 1000, 1024, 8192])
@pytest.mark.parametrize("samplerate", [22_050, 48_000, 192_000])
def test_output_lasts_until_the_first_cycle_that_finds_too_little(period, samplerate):
    reserve = round(RESERVE_S * samplerate)
    zeros = LinkCounters(**dict.fromkeys((field.name for field in fields(LinkCounters)), 0))
    now = replace(zeros, frames=10 * period, heard_ns=5_000_000_000, period=period)
    for spare in (-period, 0, period - 1, period, 3 * period, MAX_PERIOD):
        counters = replace(now, delivered=now.frames + reserve + spare)
        cycles = (counters.output_lasts_until(samplerate) - 5) * samplerate / period
        left, played = spare, 1
        while left >= period:  # as the server's thread does, cycle by cycle
            left, played = left - period, played + 1
        assert cycles == pytest.approx(played)


def test_hitch_of_one_long_period_is_no_overload():
    scheme = Scheme(T=64, B=1, A=1)

    def measure():
        graph = FakeGraph(SAMPLERATE, MAX_PERIOD)
        going = Event()
        going.set()

        def network(window, out):
            going.wait(PATIENCE_S)
            out[:] = window[-scheme.B - scheme.A : -scheme.A]

        networks = LoadedNetworks(lambda: dict.fromkeys(("vocals", "accompaniment"), network))
        session = Session(graph, Setup(networks, scheme, MaskExtension.MEAN, 1024), Patchbay({}))
        try:
            play(session, graph, 3)
            going.clear()
            states = play(session, graph, 1)
            going.set()
            states |= play(session, graph, 3)
            late = session.separation.report().blocks.late
        finally:
            going.set()
            session.close()
        return late, states

    # A machine that stands still adds to the hitch, or takes from its blocks.
    late, states = measure_undisturbed(
        measure,
        lambda it: it[0] <= OVERLOADED_AFTER or State.OVERLOADED in it[1],
        SPARE_S,
    )
    assert late > OVERLOADED_AFTER
    assert State.OVERLOADED not in states
