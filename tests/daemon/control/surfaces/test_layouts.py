"""What the layouts send is heard, and what they show is sent."""

import json
import re
import socket
import zlib
from collections.abc import Iterator
from itertools import combinations
from xml.etree import ElementTree

import py2tosc
import pytest
from py2tosc.defaults import defaults_for
from pythonosc.osc_message_builder import build_msg

from fake_daemon import FakeDaemon
from stemd.daemon.control.interfaces.osc_messages import messages_in
from stemd.daemon.control.interfaces.osc_server import OscServer
from stemd.daemon.control.surfaces import LAYOUTS, open_stage_control, touchosc
from stemd.daemon.presets import PRESETS
from waiting import PATIENCE_S

SETS = [
    ["vocals", "accompaniment"],
    ["vocals", "drums", "bass", "other"],
    ["vocals", "drums", "bass", "piano", "other"],
]

CONTAINERS = {"root", "panel"}

Sent = tuple[str, list[object]]


def widgets(layout: bytes) -> list[dict[str, object]]:
    """All widgets of a session of Open Stage Control."""

    def below(widget: dict[str, object]) -> Iterator[dict[str, object]]:
        yield widget
        for child in widget.get("widgets", []):
            yield from below(child)

    return [*below(json.loads(layout)["content"])]


def sent_by_open_stage_control(layout: bytes) -> Iterator[Sent]:
    for widget in widgets(layout):
        for address in re.findall(r'send\("([^"]+)"\)', widget.get("onCreate", "")):
            yield address, []
        if widget.get("bypass") or widget["type"] == "text":  # a text sends nothing
            continue
        match widget["type"]:
            case "fader":
                values = [0.0, 0.123, 1.0]
            case "button":
                values = [1, 0]
            case "switch":
                values = widget["values"]
        for value in values:
            yield widget["address"], [value]


def shown_by_open_stage_control(layout: bytes) -> set[str]:
    return {widget["address"] for widget in widgets(layout) if "address" in widget}


def osc_of(layout: bytes) -> Iterator[py2tosc.OscMessage]:
    for control in py2tosc.loads(layout).walk():
        yield from control.messages


def address_of(message: py2tosc.OscMessage) -> str:
    (part,) = message.path
    assert str(part.type) == "CONSTANT"
    return part.value


def sent_by_touchosc(layout: bytes) -> Iterator[Sent]:
    root = py2tosc.loads(layout).root
    address, port = re.search(r"sendOSC\(\{ '(.+?)'.*value = (\d+) ", root.script).groups()
    yield address, [int(port)]
    for message in osc_of(layout):
        if not message.send:
            continue
        (argument,) = message.arguments
        match str(argument.type), str(argument.conversion):
            case "CONSTANT", _:
                yield address_of(message), [argument.value]
            case _, "INTEGER":
                yield from ((address_of(message), [value]) for value in (1, 0))
            case _:
                yield from ((address_of(message), [value]) for value in (0.0, 0.123, 1.0))


def shown_by_touchosc(layout: bytes) -> set[str]:
    return {address_of(message) for message in osc_of(layout) if message.receive}


SENT = {"open-stage-control": sent_by_open_stage_control, "touchosc": sent_by_touchosc}
SHOWN = {"open-stage-control": shown_by_open_stage_control, "touchosc": shown_by_touchosc}


@pytest.fixture(params=SETS, ids=lambda stems: f"{len(stems)} stems")
def stems(request):
    return request.param


@pytest.fixture(params=LAYOUTS)
def program(request):
    return request.param


@pytest.fixture
def daemon(stems):
    made = FakeDaemon()
    made.mixer.attach(stems, made.levels.__setitem__)
    made.peaks = lambda: {name: [0.5, 0.25] for name in ("in", *stems)}
    return made


@pytest.fixture
def server(daemon):
    made = OscServer("127.0.0.1", 0, daemon)
    made.start()
    yield made
    made.close()


@pytest.fixture
def surface(server):
    """The socket of a program that speaks with stemd."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.connect(("127.0.0.1", server.port))
        made.settimeout(PATIENCE_S)
        yield made


def layout_for(program: str, stems: list[str]) -> bytes:
    return LAYOUTS[program][1](stems)


def test_all_that_a_layout_sends_is_heard(program, stems, daemon, surface, caplog):
    sent = [*SENT[program](layout_for(program, stems))]
    for address, values in sent:
        surface.send(build_msg(address, values).dgram)
    surface.send(build_msg("/stemd/stop", []).dgram)
    assert daemon.stopped.wait(PATIENCE_S)
    assert not caplog.messages
    addresses = {address for address, _ in sent}
    faders = {f"/stemd/{stem}/{what}" for stem in stems for what in ("fader", "mute", "solo")}
    assert addresses == {
        *faders,
        *("/stemd/bypass", "/stemd/record", "/stemd/preset", "/stemd/meters"),
    }
    assert [values for address, values in sent if address == "/stemd/preset"] == [
        [name] for name in PRESETS
    ]


def test_all_that_a_layout_shows_is_sent(program, stems, surface):
    shown = SHOWN[program](layout_for(program, stems))
    surface.send(build_msg("/stemd/meters", []).dgram)
    answered = set()
    while not shown <= answered:  # or a time-out
        (message,) = messages_in(surface.recv(1024))
        answered.add(message.address)
    # The fader shows the gain.
    answered = {address for address in answered if not address.endswith("/gain")}
    assert answered <= shown


def test_open_stage_control_has_each_name_once(stems):
    found = [widget["id"] for widget in widgets(open_stage_control.layout(stems))]
    assert len(found) == len(set(found))


def test_what_only_contains_or_shows_sends_nothing_to_stemd(stems):
    for widget in widgets(open_stage_control.layout(stems)):
        if widget["type"] in CONTAINERS or widget.get("interaction") is False:
            assert widget["bypass"] is True


def test_touchosc_takes_the_layout(stems):
    document = py2tosc.loads(touchosc.layout(stems))
    assert [*document.validate()] == []
    for control in document.walk():
        assert set(defaults_for(control.control_type)) <= set(control.properties)
    found = [control.id for control in document.walk()]
    assert len(found) == len(set(found))


def test_touchosc_has_the_kinds_of_properties_that_its_editor_writes(stems):
    ours = py2tosc.loads(touchosc.layout(stems))
    for control in ours.walk():
        fresh = py2tosc.Control(control.control_type)
        for key, known in fresh.properties.items():
            assert control.properties[key].type is known.type, key


def test_controls_of_touchosc_are_in_sight_and_not_on_top_of_each_other(stems):
    root = py2tosc.loads(touchosc.layout(stems)).root
    frames = {child.name: child.frame for child in root.children}
    for frame in frames.values():
        assert min(frame) >= 0
        assert frame.x + frame.w <= root.frame.w
        assert frame.y + frame.h <= root.frame.h
    for (name, one), (other_name, other) in combinations(frames.items(), 2):
        apart = (
            one.x + one.w <= other.x + 0.01
            or other.x + other.w <= one.x + 0.01
            or one.y + one.h <= other.y
            or other.y + other.h <= one.y
        )
        assert apart or other_name == f"{name} label", (name, other_name)


def test_texts_of_touchosc_are_written_as_its_editor_does(stems):
    """A script has signs that XML would change."""
    text = zlib.decompress(touchosc.layout(stems)).decode()
    assert f"<value><![CDATA[{touchosc.SUBSCRIBE}]]></value>" in text
    assert ElementTree.fromstring(text).tag == "lexml"


def test_layouts_are_the_same_each_time(program, stems):
    assert layout_for(program, stems) == layout_for(program, stems)
