"""The order in which the loopbacks begin and end, with programs that are none."""

from types import SimpleNamespace

import pytest

from stemd.daemon.device import device, loopbacks
from stemd.daemon.device.device import SoundDevice
from stemd.daemon.device.way_out import NEGOTIATED_S
from stemd.daemon.graph.client import PortNotice
from stemd.daemon.graph.patchbay import Patchbay


class FakeKeeper:
    """A program that runs from when it is kept until it ends."""

    def __init__(self, _) -> None:
        self.is_running = False
        self.pauses = False
        self.commands: list[list[str]] = []

    def is_pausing(self, _):
        return self.pauses

    def keep(self, command, _):
        if self.is_running or self.pauses:
            return False
        self.is_running = True
        self.commands.append(command)
        return True

    def end(self):
        self.is_running = False


class FakeManager:
    """A session manager that has answered."""

    is_there: bool | None = True
    has_smart_filters = True

    def __init__(self, _) -> None:
        pass

    def look(self, _):
        pass

    def close(self):
        pass


class FakePatchbay(Patchbay):
    """The test says what is connected."""

    connections: set[tuple[str, str]] = set()  # noqa: RUF012 (set anew by each stage)


class Stage:
    """A device in a graph that the test makes."""

    def __init__(self, mode: str) -> None:
        self.patchbay = FakePatchbay({})
        self.patchbay.connections = set()
        self.device = SoundDevice(mode, self.patchbay)
        self.speakers = ["speakers:playback_FL"]
        self.graph = SimpleNamespace(loopbacks_stall=False, destinations=lambda port: self.speakers)
        self.client = SimpleNamespace(
            name="stemd", kind="pipewire", server="PipeWire 1.4", graph=self.graph
        )
        self.now = 0.0

    def look(self, is_warm=True, after=0.01) -> tuple[bool, bool]:
        """Return whether the return and the sink run."""
        self.now += after
        self.device.look(self.client, is_warm, self.now)
        self.follow()
        return self.device._return.is_running, self.device._sink.is_running

    def follow(self) -> None:
        """Connect what runs, as the patchbay does."""
        is_held = self.patchbay._held == "stemd.return"
        ends = {
            "return": self.device._return.is_running and not is_held,
            "feed": self.device._sink.is_running,
        }
        self.patchbay.connections = {
            pair
            for pair in (
                ("stemd:vocals_L", "stemd.return:input_FL"),
                ("stemd.feed:output_FL", "stemd:in_L"),
            )
            if any(runs and f"stemd.{end}:" in "".join(pair) for end, runs in ends.items())
        }

    def be_ready(self) -> None:
        for _ in range(5):
            self.look()
        assert self.device.is_settled


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    monkeypatch.setattr(device, "Keeper", FakeKeeper)
    monkeypatch.setattr(device, "SessionManager", type("Manager", (FakeManager,), {}))
    monkeypatch.setattr(loopbacks.shutil, "which", lambda program: f"/usr/bin/{program}")


def test_nothing_begins_before_the_networks_are_warm_and_the_sink_last():
    stage = Stage("all")
    assert stage.look(is_warm=False) == (False, False)
    assert stage.look() == (True, False)
    assert stage.device.status().in_effect == "off" and not stage.device.is_settled
    assert stage.look() == (True, True)
    stage.look()
    assert stage.device.status().in_effect == "all" and stage.device.is_settled
    assert "filter.smart" in "".join(stage.device._sink.commands[0])


def test_an_output_is_no_filter():
    stage = Stage("output")
    stage.be_ready()
    assert stage.device.status().in_effect == "output"
    assert "filter.smart" not in "".join(stage.device._sink.commands[0])


def test_the_stems_and_the_sink_wait_for_a_way_to_the_speakers():
    stage = Stage("all")
    stage.graph.loopbacks_stall = True
    stage.speakers = []
    assert [stage.look() for _ in range(9)] == [(True, False)] * 9
    assert len(stage.device._return.commands) == 1
    assert not stage.patchbay.connections and not stage.device.is_settled
    assert stage.device.status().trouble is None
    stage.look(after=device.DUE_S)
    assert stage.device.is_settled
    assert "connects the stems to no output" in stage.device.status().trouble
    stage.speakers = ["headphones:playback_FL"]
    for _ in range(5):
        stage.look(after=NEGOTIATED_S)
    assert stage.device.status().in_effect == "all"
    assert stage.device.status().trouble is None


def test_an_older_loopback_that_is_not_connected_begins_anew_at_longer_and_longer_intervals():
    stage = Stage("all")
    stage.graph.loopbacks_stall = True
    stage.speakers = []
    begun = []
    for was_connected in (False, True):
        for _ in range(150):
            stage.look(after=0.1)
            begun.append(len(stage.device._return.commands))
        assert begun[-1] - begun[0] == 3 + was_connected  # at once, and after 1 s, 2 s and 4 s
        begun.clear()
        stage.speakers = ["speakers:playback_FL"]
        for _ in range(5):
            stage.look(after=NEGOTIATED_S)
        assert stage.device.is_settled and stage.patchbay.connections
        stage.speakers = []


def test_an_older_loopback_gets_the_stems_some_time_after_it_is_connected():
    stage = Stage("all")
    stage.graph.loopbacks_stall = True
    for _ in range(5):
        stage.look(after=0.1 * NEGOTIATED_S)
        assert not stage.patchbay.connections
    stage.look(after=NEGOTIATED_S)
    assert stage.patchbay.connections


@pytest.mark.parametrize("stalls", [True, False])
@pytest.mark.parametrize("is_seen", [True, False])
def test_when_the_output_changes_an_older_loopback_begins_anew(stalls, is_seen):
    """It is seen without a connection, or the server reports that it was for a moment."""
    stage = Stage("all")
    stage.graph.loopbacks_stall = stalls
    for _ in range(5):
        stage.look(after=NEGOTIATED_S)
    assert stage.device.is_settled
    for _ in range(2):
        if is_seen:
            stage.speakers = []
            stage.look()
            stage.speakers = ["headphones:playback_FL"]
        else:
            pair = ("stemd.play:output_FL", "speakers:playback_FL")
            stage.patchbay._recent.append(PortNotice(stage.now, pair, False))
        stage.look()
        for _ in range(5):
            stage.look(after=NEGOTIATED_S)
        assert stage.device.is_settled and stage.look() == (True, True)
    assert len(stage.device._return.commands) == (3 if stalls else 1)
    assert len(stage.device._sink.commands) == 1


def test_the_sink_waits_for_the_returns_connections():
    stage = Stage("all")
    stage.follow = lambda: None
    assert [stage.look() for _ in range(5)] == [(True, False)] * 5


def test_off_ends_the_sink_at_once_and_the_return_when_players_have_moved():
    stage = Stage("all")
    stage.be_ready()
    stage.device.mode = "off"
    assert stage.look() == (True, False)
    assert stage.device.status().in_effect == "off" and not stage.device.is_settled
    assert stage.look(after=device.HANDOVER_S / 2) == (True, False)
    assert stage.look(after=device.HANDOVER_S) == (False, False)
    assert stage.device.is_settled


def test_on_again_meanwhile_takes_up_the_return_that_still_plays():
    stage = Stage("all")
    stage.be_ready()
    stage.device.mode = "off"
    stage.look()
    stage.device.mode = "all"
    assert stage.look() == (True, True)
    assert len(stage.device._return.commands) == 1


def test_another_mode_makes_both_anew():
    stage = Stage("output")
    stage.be_ready()
    stage.device.mode = "all"
    assert stage.look() == (True, False)
    assert stage.look(after=2 * device.HANDOVER_S) == (True, False)
    stage.be_ready()
    for keeper in (stage.device._return, stage.device._sink):
        assert "filter.smart" in "".join(keeper.commands[-1])


def test_without_a_way_to_the_speakers_players_are_given_back():
    stage = Stage("all")
    stage.be_ready()
    stage.device._return.is_running = False
    stage.device._return.pauses = True
    stage.follow()
    assert stage.look() == (False, False)
    stage.device._return.pauses = False
    stage.be_ready()


def test_the_end_of_a_server_ends_both_and_the_next_one_has_them_again():
    stage = Stage("all")
    stage.be_ready()
    keepers = stage.device._return, stage.device._sink
    stage.device.end()
    assert not any(keeper.is_running for keeper in keepers)
    assert stage.device.status().in_effect == "off"
    stage.be_ready()


def test_on_jack_it_says_that_it_is_pipewires():
    stage = Stage("all")
    stage.client.kind, stage.client.server = "jack", "JACK 1.9.21"
    assert stage.look() == (False, False)
    assert "needs PipeWire, and stemd plays on JACK 1.9.21" in stage.device.status().trouble
    assert stage.device.is_settled
    assert not stage.device.obstacle(stage.client, "off")


def test_a_missing_program_is_named(monkeypatch):
    monkeypatch.setattr(loopbacks.shutil, "which", lambda _: None)
    stage = Stage("output")
    assert stage.look() == (False, False)
    assert "pw-loopback" in stage.device.status().trouble


def test_an_older_session_manager_makes_it_an_output(monkeypatch):
    monkeypatch.setattr(device.SessionManager, "has_smart_filters", False)
    stage = Stage("all")
    stage.be_ready()
    status = stage.device.status()
    assert status.in_effect == "output"
    assert 'choose "stemd (stems)"' in status.trouble


def test_without_a_session_manager_it_says_so(monkeypatch):
    monkeypatch.setattr(device.SessionManager, "is_there", False)
    stage = Stage("output")
    stage.be_ready()
    assert "no session manager" in stage.device.status().trouble
