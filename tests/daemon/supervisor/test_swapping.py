"""Whatever happens in whichever phase, it ends with one separation that plays, and its ports."""

import logging
import threading
from concurrent.futures import Future
from itertools import count
from types import SimpleNamespace

import pytest

from stemd.daemon.engine.realtime import Event
from stemd.daemon.engine.scheduling import Priorities
from stemd.daemon.errors import ServerError, StemdError
from stemd.daemon.ports import outputs_of
from stemd.daemon.supervisor import swapping
from stemd.daemon.supervisor.calls import apart
from stemd.daemon.supervisor.changes import Change, SessionOverError, Setup
from stemd.daemon.supervisor.health import Verdict
from stemd.daemon.supervisor.swap import Phase
from stemd.daemon.supervisor.swapping import LOAD_AGAIN_S, Swapper
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import Scheme
from stemd.tflite_models.errors import ModelError
from waiting import PATIENCE_S

NO_EVENT = Event(0)
TWO, FOUR = ("vocals", "accompaniment"), ("vocals", "drums", "bass", "other")


class FakeNetworks:
    """A set that is loaded, or cannot be."""

    def __init__(self, stems) -> None:
        self.stems = stems
        self.by_stem = dict.fromkeys(stems)
        self.loaded = 0
        self.is_missing = False

    def ensure(self) -> None:
        if self.is_missing:
            raise ModelError("vocals.tflite is missing")

    def load_anew(self) -> None:
        self.ensure()
        self.loaded += 1


class FakeLive:
    """A separation without threads."""

    def __init__(self, setup, rate, longest_period, is_bypassed) -> None:
        self.setup = setup
        self.has_failed = False
        self.trouble = None
        self.is_ready = Verdict.WAIT
        self.extension = setup.extension
        self.is_bypassed = is_bypassed
        link = SimpleNamespace(release=lambda: None, hold=lambda on: None)
        self.separation = SimpleNamespace(
            stems=setup.networks.stems,
            samplerate=rate,
            longest_period=longest_period,
            is_stopped=False,
            link=link,
            set_priorities=lambda priorities: None,
            bypass=lambda on: setattr(self, "is_bypassed", on),
            extend_masks=lambda extension: setattr(self, "extension", extension),
        )

    def look(self, now):
        return self.trouble

    def verdict(self):
        return self.is_ready

    def lateness(self):
        return "2 of 3 blocks were late"

    def end(self):
        self.separation.is_stopped = True
        return True


class FakeMaker:
    def __init__(self, client, rt, is_bypassed) -> None:
        self._client = client
        self._rt = rt
        self.is_bypassed = is_bypassed
        self.priorities = Priorities()

    def make(self, setup, is_held=False):
        longest = self.longest_period(setup)
        return FakeLive(setup, self._client.samplerate, longest, self.is_bypassed)

    def fits(self, live):
        has_rate = live.separation.samplerate == self._client.samplerate
        return has_rate and live.separation.longest_period >= self._rt.counters().period

    def longest_period(self, setup):
        return max(setup.longest_period, self._rt.counters().period)


class Theatre:
    """A swapper whose server, threads and clock do what they are told."""

    def __init__(self, monkeypatch) -> None:
        monkeypatch.setattr(swapping, "Maker", FakeMaker)
        monkeypatch.setattr(swapping, "apart", self._apart)
        monkeypatch.setattr(swapping, "give_back_memory", lambda: None)
        self.ports: dict[str, int] = {}
        self.samplerate = 44_100
        self.period = 1024
        self.server_calls = True
        self.is_full = False
        self.waits = True
        self.jobs = []
        self.now = 0.0
        self.changes: list[Change] = []
        self.admitted = []
        rt = SimpleNamespace(
            freewheeling=False,
            wake=lambda: None,
            withdraw=lambda link: True,
            counters=lambda: SimpleNamespace(period=self.period),
        )
        self.networks = FakeNetworks(TWO)
        self.swapper = Swapper(self, rt, self.setup(self.networks), False, lambda: None)

    def setup(self, networks) -> Setup:
        return Setup(networks, Scheme(T=64, B=1, A=1), MaskExtension.MEAN, 1024)

    def add_outputs(self, slots) -> None:
        if self.is_full and slots:
            raise ServerError("no room for more")
        self.ports |= slots

    def remove_outputs(self, slots) -> bool:
        for name in slots:
            del self.ports[name]
        return True

    def _apart(self, work, name):
        future = Future()
        self.jobs.append((work, future))
        if not self.waits:
            self.work()
        return future

    def work(self) -> None:
        """Let the other threads end what they do."""
        while self.jobs:
            work, future = self.jobs.pop(0)
            try:
                future.set_result(work())
            except (StemdError, ModelError) as error:
                future.set_exception(error)

    def look(self, events=NO_EVENT, seconds=0.25) -> None:
        self.now += seconds
        self.swapper.look(events, self.now, not self.server_calls)

    def change(self, stems=FOUR) -> Change:
        change = Change(self.setup(FakeNetworks(stems)), lambda: self.admitted.append(stems))
        self.swapper.want(change)
        self.changes.append(change)
        return change

    def serve(self) -> None:
        """Have the server's thread, and all others, do what they have to."""
        self.work()
        phase = self.swapper.phase
        if phase is Phase.WARMING:
            self.swapper.coming.is_ready = Verdict.READY
        happens = {Phase.FADING: Event.SWAPPED, Phase.WITHDRAWING: Event.WITHDRAWN}
        calls = self.server_calls
        self.look(happens.get(phase, NO_EVENT) if calls else NO_EVENT, seconds=LOAD_AGAIN_S)

    def calm(self) -> None:
        for _ in range(30):
            self.serve()

    def reach(self, station) -> None:
        """Bring the swapper into a phase, by one of the ways that lead there."""
        phase, *ways = STATIONS[station]
        if ways:
            self.calm()
        for way in ways:
            way(self)
            self.look()
        assert self.swapper.phase is phase

    def fail(self) -> None:
        self.swapper.playing.trouble = "out of order"

    def fail_to_come(self) -> None:
        self.swapper.coming.trouble = "out of order"

    def be_ready(self) -> None:
        self.swapper.coming.is_ready = Verdict.READY

    def swap(self) -> None:
        self.look(Event.SWAPPED)

    def lose_networks(self) -> None:
        self.networks.is_missing = True
        self.work()
        self.look()
        self.networks.is_missing = False


T = Theatre
STATIONS = {
    "fading in": (Phase.FADING,),
    "steady": (Phase.STEADY, T.look),
    "loading": (Phase.LOADING, T.fail),
    "pausing": (Phase.PAUSING, T.fail, T.lose_networks),
    "warming": (Phase.WARMING, T.change),
    "warming beside what failed": (Phase.WARMING, T.change, T.fail),
    "fading after a repair": (Phase.FADING, T.fail, T.work),
    "fading to another": (Phase.FADING, T.change, T.be_ready),
    "withdrawing another": (Phase.WITHDRAWING, T.change, T.fail_to_come),
    "withdrawing what was admitted": (Phase.WITHDRAWING, T.change, T.be_ready, T.fail_to_come),
    "withdrawing a repair": (Phase.WITHDRAWING, T.fail, T.work, T.fail_to_come),
    "retiring": (Phase.RETIRING, T.fail, T.work, T.swap),
}
"""Phases, and what leads there from rest."""


@pytest.fixture
def theatre(monkeypatch):
    return Theatre(monkeypatch)


def nothing(t) -> None:
    """All goes on."""


def playing_fails(t) -> None:
    t.fail()
    t.look()


def coming_fails(t) -> None:
    if t.swapper.coming:
        t.swapper.coming.trouble = "out of order"
    t.look()


def coming_is_late(t) -> None:
    if t.swapper.coming:
        t.swapper.coming.is_ready = Verdict.TOO_LATE
    t.look()


def both_fail(t) -> None:
    t.fail()
    coming_fails(t)


def the_rate_changes(t) -> None:
    t.samplerate = 48_000
    t.look()


def it_fails_at_another_rate(t) -> None:
    t.samplerate = 48_000
    both_fail(t)


def it_changes_twice(t) -> None:
    for t.samplerate in (48_000, 44_100):
        t.look()


def periods_become_longer(t) -> None:
    t.period = 4096
    t.look()


def it_is_bypassed(t) -> None:
    t.swapper.bypass(True)
    t.look()


def masks_are_extended_otherwise(t) -> None:
    t.swapper.extend_masks(MaskExtension.ZEROS)
    t.look()


def no_networks_for_a_while(t) -> None:
    t.swapper.setup.networks.is_missing = True
    t.fail()
    for _ in range(3):
        t.serve()
    t.networks.is_missing = t.swapper.setup.networks.is_missing = False


def another_is_wanted(t) -> None:
    if t.swapper.change:
        with pytest.raises(StemdError, match="another change is under way"):
            t.change()
    else:
        t.change()
    t.look()


def no_room_for_its_ports(t) -> None:
    t.is_full = True
    another_is_wanted(t)
    for _ in range(5):
        t.serve()
    t.is_full = False


def the_server_is_silent(t) -> None:
    t.server_calls = False
    for _ in range(5):
        t.serve()
    t.server_calls = True


def another_is_wanted_in_silence(t) -> None:
    t.server_calls = False
    t.look()
    if not t.swapper.change:
        t.change()
    for _ in range(10):
        t.serve()
    assert t.changes[-1].ended.done(), "it does not wait for the server"
    t.server_calls = True


HAPPENINGS = [
    nothing,
    playing_fails,
    coming_fails,
    coming_is_late,
    both_fail,
    the_rate_changes,
    it_fails_at_another_rate,
    it_changes_twice,
    periods_become_longer,
    it_is_bypassed,
    masks_are_extended_otherwise,
    no_networks_for_a_while,
    another_is_wanted,
    no_room_for_its_ports,
    the_server_is_silent,
    another_is_wanted_in_silence,
]


@pytest.mark.parametrize("happening", HAPPENINGS, ids=lambda it: it.__name__)
@pytest.mark.parametrize("station", STATIONS)
def test_all_ends_well(theatre, station, happening):
    t = theatre
    t.reach(station)
    happening(t)
    t.calm()
    swapper = t.swapper
    assert swapper.phase is Phase.STEADY
    assert swapper.lives == [swapper.playing]
    assert not swapper.is_recovering
    assert swapper.playing.setup.networks is swapper.setup.networks
    assert swapper.playing.separation.samplerate == t.samplerate
    assert swapper.playing.separation.longest_period == max(t.period, 1024)
    assert swapper.playing.is_bypassed == (happening is it_is_bypassed)
    assert swapper.playing.extension is swapper.setup.extension
    assert swapper.change is None
    for change in t.changes:
        assert change.ended.result(0) is None
        is_made = change.done.exception(0) is None
        assert is_made == (FOUR in t.admitted)
        assert swapper.stems == (FOUR if is_made else TWO)
    assert t.ports == outputs_of(swapper.stems)


@pytest.mark.parametrize("happening", [the_rate_changes, it_fails_at_another_rate])
@pytest.mark.parametrize("station", STATIONS)
def test_another_rate_is_said_whatever_goes_on(theatre, station, happening, caplog):
    t = theatre
    t.reach(station)
    with caplog.at_level(logging.INFO):
        happening(t)
        t.calm()
    assert "the server plays at 48000 Hz now" in caplog.messages


@pytest.mark.parametrize("station", STATIONS)
def test_the_last_rate_said_is_the_present_one(theatre, station, caplog):
    t = theatre
    t.reach(station)
    with caplog.at_level(logging.INFO):
        it_changes_twice(t)
        t.calm()
    said = [line for line in caplog.messages if "the server plays at" in line]
    assert said[-1] == "the server plays at 44100 Hz now"


def test_longer_periods_are_said_once(theatre, caplog):
    t = theatre
    t.calm()
    with caplog.at_level(logging.INFO):
        for t.period in (512, 4096, 1024, 4096, 256):
            t.calm()
    assert caplog.messages == ["the server's periods are of 4096 frames now"]


@pytest.mark.parametrize("station", STATIONS)
def test_the_end_leaves_nothing_running_or_unanswered(theatre, station):
    t = theatre
    t.reach(station)
    t.waits = False
    t.work()
    t.swapper.close()
    assert all(each.separation.is_stopped for each in t.swapper.lives)
    for change in t.changes:
        assert change.ended.done()
        error = change.done.exception(0)
        assert isinstance(error, StemdError | SessionOverError) or FOUR in t.admitted


def test_at_the_end_what_hangs_is_waited_for_together(theatre, monkeypatch):
    t = theatre
    t.reach("warming")
    monkeypatch.setattr(swapping, "apart", apart)
    together = threading.Barrier(2, timeout=PATIENCE_S)
    for each in t.swapper.lives:
        each.end = together.wait
    t.swapper.close()
    assert not together.broken


def test_what_is_obsolete_in_silence_is_ended_at_once(theatre):
    t = theatre
    t.calm()
    change = t.change()
    t.look()
    before, coming = t.swapper.lives
    t.server_calls = False
    for _ in range(5):
        t.serve()
    assert before.separation.is_stopped
    assert not coming.separation.is_stopped
    assert change.ended.done()


def test_networks_are_loaded_anew_only_where_they_may_have_failed(theatre):
    t, loads = theatre, count(1)
    t.calm()
    t.samplerate = 48_000
    t.calm()
    assert t.networks.loaded == 0
    for _ in range(3):
        t.now += 60
        t.fail()
        t.calm()
        assert t.networks.loaded == next(loads)
