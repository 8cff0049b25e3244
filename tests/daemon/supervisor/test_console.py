"""What may be asked is done by the main thread, or refused."""

from types import SimpleNamespace

import pytest

from fake_graph import FakeGraph
from stemd.daemon.config_file import load_config
from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.bulletin import Bulletin
from stemd.daemon.control.events import BypassSwitched
from stemd.daemon.control.mixer import Mixer
from stemd.daemon.errors import StemdError
from stemd.daemon.supervisor.calls import Calls
from stemd.daemon.supervisor.console import Console
from stemd.daemon.supervisor.playback import Playback
from stemd.daemon.supervisor.reloading import Reloader
from stemd.daemon.supervisor.status import Figures

WISH = Binding(cc=0, does="bypass")


class Desk:
    """A console before the first server, and the main thread's part of it."""

    def __init__(self, *settings: str) -> None:
        config = load_config(None, settings)
        self.published = []
        self.woken = 0
        self.calls = Calls(self._wake)
        bulletin = Bulletin()
        self.playback = Playback(config, Mixer([]))
        self.console = Console(
            self.playback,
            self.calls,
            bulletin,
            Reloader(lambda before: None, self.playback, self.calls, bulletin),
            Figures(self.playback, lambda: "no server answers"),
            config.midi,
            [],
        )
        bulletin.publish = self.published.append

    def _wake(self) -> None:
        self.woken += 1


@pytest.fixture
def desk():
    return Desk()


def test_the_main_thread_is_woken_and_does_what_is_asked(desk):
    asked = desk.console.bypass(True)
    assert desk.woken == 1
    assert not asked.done()
    desk.calls.handle()
    assert asked.result(0)
    assert desk.playback.is_bypassed


def test_bypass_changes_over_and_is_published_where_it_changes(desk):
    asked = [desk.console.bypass(on) for on in (None, True, None, False)]
    desk.calls.handle()
    assert [each.result(0) for each in asked] == [True, True, False, False]
    assert desk.published == [BypassSwitched(True), BypassSwitched(False)]


def test_the_device_is_taken_as_wanted_while_there_is_no_server(desk):
    asked = [desk.console.device(mode) for mode in ("all", None, "off")]
    desk.calls.handle()
    assert [each.result(0).mode for each in asked] == ["all", "all", "off"]


def test_a_device_is_refused_where_it_is_impossible(desk):
    desk.playback.session = SimpleNamespace(client=FakeGraph())
    asked = desk.console.device("output")
    desk.calls.handle()
    with pytest.raises(StemdError, match="needs PipeWire, and stemd plays on fake"):
        asked.result(0)
    assert desk.playback.device.mode == "off"


def test_the_status_says_why_there_is_no_server(desk):
    asked = desk.console.status()
    desk.calls.handle()
    status = asked.result(0)
    assert (status.state, status.server) == ("loading", None)
    assert status.trouble == "no server answers"


def test_nothing_is_learned_without_a_port_or_a_main_thread(desk):
    refused = desk.console.learn(WISH)
    desk.calls.handle()
    with pytest.raises(StemdError, match="there is no MIDI port"):
        refused.result(0)
    desk.calls.end()
    with pytest.raises(StemdError, match="stemd is ending"):
        desk.console.learn(WISH).result(0)


def test_a_controller_that_moves_is_learned():
    desk = Desk("midi.enabled=true")
    learned = desk.console.learn(WISH)
    desk.calls.handle()
    desk.console.midi.handle([bytes([0xB2, 21, 127])])
    assert learned.result(0) == Binding(cc=21, channel=3, does="bypass")


def test_it_stops_when_it_is_asked_to(desk):
    assert not desk.console.is_stopping
    desk.console.stop()
    assert desk.console.is_stopping
