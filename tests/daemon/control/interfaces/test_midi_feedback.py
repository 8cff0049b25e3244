"""The lights of controllers show what the mixer does, however it is steered."""

import pytest

from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.interfaces.midi_feedback import AGAIN_S, MidiFeedback
from stemd.daemon.control.mixer import Strip

PADS = [
    Binding(note=36, does="mute", stem="vocals", toggles=True),
    Binding(note=37, does="solo", stem="vocals", channel=10),
    Binding(cc=20, does="bypass"),
    Binding(cc=21, does="record", channel=2),
    Binding(cc=7, does="gain", stem="vocals"),
    Binding(note=38, does="mute", stem="drums"),
]


@pytest.fixture
def lights():
    """Show a state; what is sent for it."""

    class Lights:
        now, room, sent = 0.0, 99, []

        def send(self, message: bytes) -> bool:
            if has_room := len(self.sent) < self.room:
                self.sent.append(message)
            return has_room

        def show(self, bypass=False, record=False, **strip) -> list[bytes]:
            self.sent = []
            strips = {"vocals": Strip(**strip)}
            feedback.show(PADS, strips, {"bypass": bypass, "record": record})
            return self.sent

    made = Lights()
    feedback = MidiFeedback(made.send, lambda: made.now)
    return made


def test_each_light_is_sent_once_and_then_its_changes(lights):
    """Of faders, and of stems that are not there, nothing is sent."""
    assert lights.show() == [b"\x90\x24\x00", b"\x99\x25\x00", b"\xb0\x14\x00", b"\xb1\x15\x00"]
    assert lights.show() == []
    assert lights.show(mute=True, gain=-6.0) == [b"\x90\x24\x7f"]
    assert lights.show(solo=True, bypass=True) == [
        *(b"\x90\x24\x00", b"\x99\x25\x7f", b"\xb0\x14\x7f"),
    ]
    assert lights.show(solo=True, bypass=True, record=True) == [b"\xb1\x15\x7f"]


def test_a_controller_that_is_plugged_in_later_gets_all(lights):
    lights.show(mute=True)
    lights.now = AGAIN_S - 0.01
    assert lights.show(mute=True) == []
    lights.now = AGAIN_S
    assert lights.show(mute=True)[0] == b"\x90\x24\x7f"
    assert len(lights.sent) == 4


def test_what_could_not_be_sent_is_sent_later(lights):
    lights.room = 0
    assert lights.show() == []
    lights.room = 99
    assert len(lights.show()) == 4


@pytest.mark.parametrize("muted", [["vocals"], ["drums"]])
def test_a_light_that_two_share_is_on_if_one_is(muted):
    sent = []
    feedback = MidiFeedback(lambda message: sent.append(message) or True)
    pads = [Binding(note=40, does="mute", stem=stem) for stem in ("vocals", "drums")]
    strips = {stem: Strip(mute=stem in muted) for stem in ("vocals", "drums")}
    for _ in range(3):
        feedback.show(pads, strips, {})
    assert sent == [b"\x90\x28\x7f"]
