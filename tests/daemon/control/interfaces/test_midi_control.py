"""Controllers move faders softly, press buttons, and are learned."""

from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fake_daemon import FakeDaemon, done
from stemd.daemon.control.bindings import Binding, with_learned
from stemd.daemon.control.events import ControllerLearned, StripChanged
from stemd.daemon.control.interfaces.midi_control import (
    BATCH_S,
    CONTROL_CHANGE,
    NOTE_ON,
    MidiControl,
)
from stemd.daemon.control.mixer import OFF_DB, UNITY, decibels_at, position_of
from stemd.daemon.errors import StemdError

UNITY_VALUE = round(127 * UNITY)


def change(controller: int, value: int, channel: int = 1) -> bytes:
    return bytes([CONTROL_CHANGE + channel - 1, controller, value])


@pytest.fixture
def desk():
    """A function that makes a desk; it has a daemon, and takes messages."""

    def make(*bindings: Binding, softly: bool = False) -> MidiControl:
        return MidiControl(FakeDaemon(), list(bindings), softly)

    return make


def gain_of(midi: MidiControl, stem: str = "vocals") -> float:
    return midi.daemon.mixer.strips()[stem].gain


GAIN = Binding(cc=7, does="gain", stem="vocals")


@given(st.floats(0, 1))
def test_a_faders_law_goes_there_and_back(position):
    gain = decibels_at(position)
    assert OFF_DB <= gain <= 5
    if gain > OFF_DB:
        assert position_of(gain) == pytest.approx(position)


def test_a_fader_at_its_ends_and_at_unity():
    assert decibels_at(0) == OFF_DB
    assert decibels_at(UNITY) == 0
    assert position_of(OFF_DB) == 0
    assert position_of(12) == 1


def test_a_controller_moves_its_fader(desk):
    midi = desk(GAIN)
    for value in (0, 1, 64, 127):
        midi.handle([change(7, value)])
        assert gain_of(midi) == pytest.approx(decibels_at(value / 127))
    midi.handle([change(8, 0), bytes([0x90, 7, 0]), change(7, 127, channel=16)])
    assert gain_of(midi) == pytest.approx(decibels_at(1))


def test_a_channel_is_heeded_where_one_is_given(desk):
    midi = desk(GAIN.model_copy(update={"channel": 2}))
    midi.handle([change(7, 0)])
    assert gain_of(midi) == 0
    midi.handle([change(7, 0, channel=2)])
    assert gain_of(midi) == OFF_DB


def test_fourteen_bits_are_put_together_and_a_slow_sweep_never_turns_back(desk):
    midi = desk(GAIN.model_copy(update={"fine": True}))
    midi.handle([change(7, 127)])
    assert gain_of(midi) == pytest.approx(decibels_at(1)), "it may have no fine part"
    gains = []
    for position in range(99 * 128, 103 * 128):
        for message in (change(7, position // 128), change(39, position % 128)):
            midi.handle([message])
            gains.append(gain_of(midi))
        assert gains[-1] == pytest.approx(decibels_at(position / 16_383))
    assert gains[1:] == sorted(gains[1:])
    midi.handle([change(7, 127), change(39, 127)])
    assert gain_of(midi) == pytest.approx(decibels_at(1))


def test_channels_have_a_fader_each(desk):
    midi = desk(GAIN.model_copy(update={"fine": True}))
    midi.handle([change(7, 10), change(7, 100, channel=2), change(39, 0)])
    assert gain_of(midi) == pytest.approx(decibels_at(10 * 128 / 16_383))


def test_a_fader_moves_nothing_until_it_is_where_the_gain_is(desk):
    midi = desk(GAIN, softly=True)
    for value in (0, 20, 60):
        midi.handle([change(7, value)])
        assert gain_of(midi) == 0
    midi.handle([change(7, UNITY_VALUE + 5)])  # it has passed there
    assert gain_of(midi) == pytest.approx(decibels_at((UNITY_VALUE + 5) / 127))
    midi.handle([change(7, 10)])  # now it leads, however fast
    assert gain_of(midi) == pytest.approx(decibels_at(10 / 127))
    midi.daemon.mixer.set("vocals", gain=0.0)  # somebody else
    midi.handle([change(7, 12)])
    assert gain_of(midi) == 0
    midi.handle([change(7, UNITY_VALUE + 1)])
    assert gain_of(midi) != 0


def test_messages_of_one_moment_set_a_stem_once_to_the_last(desk):
    midi = desk(GAIN, Binding(cc=8, does="mute", stem="vocals"))
    told = []
    with midi.daemon.bulletin.subscription(told.append):
        sweep = [change(7 + n % 2, n % 128) for n in range(2_000)]
        midi.handle([*sweep, change(7, 95), change(8, 127)])
    assert told == [StripChanged("vocals", decibels_at(95 / 127), mute=True, solo=False)]


def test_presses_of_one_moment_count_in_their_order(desk):
    midi = desk(
        Binding(cc=20, does="mute", stem="vocals", toggles=True),
        Binding(cc=21, does="mute", stem="vocals"),
        Binding(cc=22, does="bypass", toggles=True),
        Binding(cc=23, does="bypass"),
    )
    press = [change(20, 127), change(20, 0)]
    for messages, muted in (
        (3 * press, True),
        (2 * press, True),
        ([change(21, 127), *press], False),
        ([*press, change(21, 127)], True),
    ):
        midi.handle(messages)
        assert midi.daemon.mixer.strips()["vocals"].mute is muted
    press = [change(22, 127), change(22, 0)]
    for messages, bypassed in (
        (3 * press, True),
        (2 * press, True),
        ([change(23, 127), *press], False),
        ([*press, change(23, 127)], True),
    ):
        midi.handle(messages)
        assert midi.daemon.is_bypassed is bypassed


def test_messages_are_followed_at_once_and_then_every_now_and_then(desk):
    midi, now, reads = desk(GAIN), [0.0], []
    midi.clock = lambda: now[0]

    def read():
        reads.append(now[0])
        return [change(7, len(reads))]

    midi.follow(False, read)
    assert midi.patience_s(0.25) == 0.25
    for step in range(751):  # an oscillator for a second
        now[0] = step / 750
        midi.follow(True, read)
        assert reads[-1] == now[0] or midi.patience_s(0.25) <= BATCH_S
    assert reads[0] == 0
    assert len(reads) <= 1 + 1 / BATCH_S
    assert gain_of(midi) == decibels_at(len(reads) / 127)
    last = len(reads)
    now[0] += midi.patience_s(0.25)
    midi.follow(False, read)
    assert len(reads) == last + 1, "the last one is not forgotten"
    now[0] += 1
    midi.follow(False, read)
    assert len(reads) == last + 1


@pytest.mark.parametrize("what", ["mute", "solo"])
def test_a_button_says_on_or_off_or_changes_over(desk, what):
    def state(midi):
        return getattr(midi.daemon.mixer.strips()["vocals"], what)

    midi = desk(Binding(cc=20, does=what, stem="vocals"))
    for value, on in ((127, True), (63, False), (64, True), (0, False)):
        midi.handle([change(20, value)])
        assert state(midi) is on
    midi = desk(Binding(cc=20, does=what, stem="vocals", toggles=True))
    for value, on in ((127, True), (0, True), (127, False), (0, False)):
        midi.handle([change(20, value)])
        assert state(midi) is on


def test_a_button_that_is_held_changes_over_once_and_one_that_never_tells_its_release_each_time(
    desk,
):
    midi = desk(Binding(cc=20, does="mute", stem="vocals", toggles=True))
    heard = []
    for now in (0.0, 0.01, 0.1, 0.25, 0.5, 1.0):
        midi.clock = lambda now=now: now
        midi.handle([change(20, 127)])
        heard.append(midi.daemon.mixer.strips()["vocals"].mute)
    assert heard == [True, True, True, True, False, True]


def test_bypass_is_a_button_too(desk):
    midi = desk(Binding(cc=64, does="bypass", toggles=True))
    midi.handle([change(64, 127), change(64, 0)])
    assert midi.daemon.is_bypassed
    midi = desk(Binding(cc=64, does="bypass"))
    midi.handle([change(64, 127), change(64, 0)])
    assert not midi.daemon.is_bypassed


def test_a_stem_that_there_is_not_is_no_trouble(desk):
    midi = desk(
        Binding(cc=7, does="gain", stem="bass"),
        Binding(cc=8, does="mute", stem="bass", toggles=True),
    )
    midi.handle([change(7, 0), change(8, 127)])
    assert midi.daemon.mixer.strips().keys() == {"vocals", "accompaniment"}


def test_the_next_controller_that_moves_is_learned_and_takes_the_others_place(desk):
    midi = desk(Binding(cc=21, channel=3, does="mute", stem="vocals"), GAIN)
    told = []
    answer = Future()
    midi.learn(Binding(cc=0, does="gain", stem="accompaniment", fine=True), answer)
    midi.handle([change(123, 0)])  # "all notes off", which nobody moves
    with midi.daemon.bulletin.subscription(told.append):
        midi.handle([bytes([0x90, 60, 100]), change(21, 0, channel=3), change(22, 0)])
    learned = Binding(cc=21, channel=3, does="gain", stem="accompaniment", fine=True)
    assert midi.bindings == [GAIN, learned]
    assert midi.learned == [learned]
    assert answer.result(0) == learned
    assert told[0] == ControllerLearned(**learned.model_dump())
    assert gain_of(midi, "accompaniment") == OFF_DB
    assert not midi.daemon.mixer.strips()["vocals"].mute


def test_one_is_learned_after_the_other(desk):
    midi = desk()
    first, second = Future(), Future()
    midi.learn(GAIN, first)
    with pytest.raises(StemdError, match="another controller is being learned"):
        midi.learn(GAIN, second)
    first.cancel()
    midi.learn(GAIN, second)
    midi.handle([change(20, 0)])
    assert [each.cc for each in midi.learned] == [20]


def test_what_is_learned_takes_the_place_of_all_that_share_its_controller():
    anywhere = GAIN
    here, there = (GAIN.model_copy(update={"channel": channel}) for channel in (1, 2))
    assert with_learned([here, there], [anywhere]) == [anywhere]
    assert with_learned([anywhere], [here]) == [here]
    assert with_learned([there], [here]) == [there, here]


messages = st.lists(
    st.binary(min_size=3, max_size=3)
    | st.tuples(
        st.integers(0xB0, 0xBF), st.sampled_from([1, 2, 3, 7, 33]), st.integers(0, 255)
    ).map(bytes)
)


@given(messages)
def test_any_messages_are_borne(messages):
    bindings = [
        GAIN,
        Binding(cc=1, does="gain", stem="bass", fine=True),
        Binding(cc=2, does="solo", stem="accompaniment", toggles=True),
        Binding(cc=3, does="bypass"),
    ]
    midi = MidiControl(FakeDaemon(), bindings, soft_takeover=False)
    midi.handle(messages)
    for strip in midi.daemon.mixer.strips().values():
        assert OFF_DB <= strip.gain <= decibels_at(1)


def strike(number: int, velocity: int, channel: int = 1) -> bytes:
    return bytes([NOTE_ON + channel - 1, number, velocity])


def test_a_pad_is_a_button_however_softly_it_is_struck(desk):
    midi = desk(
        Binding(note=36, does="mute", stem="vocals", toggles=True),
        Binding(note=37, does="solo", stem="vocals"),
        Binding(cc=36, does="bypass"),
    )
    vocals = lambda: midi.daemon.mixer.strips()["vocals"]  # noqa: E731
    for messages, muted in (
        ([strike(36, 1)], True),
        ([strike(36, 0)], True),
        ([strike(36, 90), strike(36, 0)], False),
    ):
        midi.handle(messages)
        assert vocals().mute is muted
    midi.handle([strike(37, 5)])
    assert vocals().solo
    midi.handle([strike(37, 0)])
    assert not vocals().solo
    assert not midi.daemon.is_bypassed


def test_a_pad_is_learned_but_not_as_a_fader(desk):
    midi, learned = desk(), Future()
    midi.learn(Binding(cc=0, does="mute", stem="vocals", toggles=True), learned)
    midi.handle([strike(40, 3, channel=10)])
    new = Binding(note=40, channel=10, does="mute", stem="vocals", toggles=True)
    assert learned.result(0) == new
    assert midi.daemon.mixer.strips()["vocals"].mute
    learned = Future()
    midi.learn(Binding(cc=0, does="gain", stem="vocals"), learned)
    midi.handle([strike(41, 3)])
    assert not learned.done()
    midi.handle([change(41, 3)])
    assert learned.result(0).cc == 41
    assert midi.bindings == [new, learned.result(0)]


def test_a_recording_is_begun_and_ended_by_a_button(desk):
    midi = desk(Binding(cc=30, does="record", toggles=True), Binding(cc=31, does="record"))
    for messages, recording in (
        ([change(30, 127)], True),
        ([change(30, 0)], True),
        ([change(31, 0)], False),
        ([change(31, 127)], True),
    ):
        midi.handle(messages)
        assert midi.daemon.is_recording is recording
    assert not midi.daemon.is_bypassed


def test_why_a_recording_is_impossible_is_logged(desk, monkeypatch, caplog):
    midi = desk(Binding(cc=31, does="record"))
    error = done(StemdError("no audio server has been joined"))
    monkeypatch.setattr(midi.daemon, "record", lambda *_: error)
    midi.handle([change(31, 127)])
    assert "recording: no audio server has been joined" in caplog.text


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cc": 7, "does": "gain"}, "stem must be given with gain"),
        ({"cc": 7, "does": "bypass", "stem": "bass"}, "stem must not be given with bypass"),
        ({"cc": 7, "does": "record", "stem": "bass"}, "stem must not be given with record"),
        ({"cc": 40, "does": "gain", "stem": "bass", "fine": True}, "cc below 32"),
        ({"cc": 7, "does": "mute", "stem": "bass", "fine": True}, "fine is for gain only"),
        ({"cc": 7, "does": "gain", "stem": "bass", "toggles": True}, "toggles is for"),
        ({"cc": 120, "does": "bypass"}, "less than or equal to 119"),
        ({"note": 128, "does": "bypass"}, "less than or equal to 127"),
        ({"does": "bypass"}, "give either cc, for a controller, or note, for a pad"),
        ({"cc": 1, "note": 1, "does": "bypass"}, "give either cc"),
        ({"note": 1, "does": "gain", "stem": "bass"}, "a note does mute, solo, bypass or record"),
    ],
)
def test_what_does_not_fit_is_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        Binding(**wrong)
