"""A layout of TouchOSC: its controls as XML, compressed.

https://hexler.net/touchosc/manual/script-properties-and-values has the controls' properties and
values, https://hexler.net/touchosc/manual/script their scripts. The elements are those that the
program's own editor writes.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias
from uuid import NAMESPACE_URL, uuid5

from stemd.daemon.control.mixer import UNITY
from stemd.daemon.presets import PRESETS

HEAD = "<?xml version='1.0' encoding='UTF-8'?>"
VERSION, CONNECTIONS = "3", "11111"
"""Of the format, which later versions of the program read too; and all five connections of it."""

RECEIVE_PORT = 9001
"""The UDP port on which the program has to receive."""

SUBSCRIBE = f"""\
-- Again and again: stemd may start later, or anew.
local due = 0

function update()
  if getMillis() >= due then
    due = getMillis() + 5000
    sendOSC({{ '/stemd/meters', {{ {{ tag = 'i', value = {RECEIVE_PORT} }} }} }})
  end
end
"""

WIDTH, HEIGHT = 480, 800
GAP, LINE, METER = 8, 48, 20
"""Between controls, and the heights of a line and of the meter of the input [pixels]."""

Direction: TypeAlias = int
NORTH: Direction = 0
EAST: Direction = 1

MOMENTARY, TOGGLE = 0, 2
"""Types of buttons; the second changes over when it is pressed."""


class Frame(NamedTuple):
    """Where a control is in the layout [pixels]."""

    x: float
    y: float
    w: float
    h: float


class Colour(NamedTuple):
    """Red, green, blue and opacity, from 0 to 1."""

    r: float
    g: float
    b: float
    a: float = 1.0


GREY, WHITE, LINES = Colour(0.25, 0.25, 0.25), Colour(1.0, 1.0, 1.0), Colour(0.0, 0.0, 0.0, 0.25)
GREEN, AMBER, BLUE, RED = (
    Colour(0.1, 0.7, 0.3),
    Colour(0.9, 0.6, 0.1),
    Colour(0.2, 0.5, 0.9),
    Colour(0.9, 0.2, 0.2),
)

PLAIN = {
    "background": True,
    "cornerRadius": 2.0,
    "grabFocus": True,
    "interactive": True,
    "locked": False,
    "orientation": NORTH,
    "outline": True,
    "outlineStyle": 0,
    "pointerPriority": 0,
    "shape": 1,
    "visible": True,
}
"""Properties of every control."""

SLIDES = {
    "bar": True,
    "barDisplay": 0,
    "cursor": True,
    "cursorDisplay": 0,
    "grid": False,
    "gridColor": LINES,
    "gridSteps": 4,
    "response": 0,
    "responseFactor": 100,
}
PRESSES = {"press": True, "release": True, "valuePosition": False}
READS = {
    "background": False,
    "font": 0,
    "interactive": False,
    "outline": False,
    "textAlignH": 2,
    "textAlignV": 2,
    "textClip": True,
    "textColor": WHITE,
    "textLength": 0,
    "textSize": 14,
}
"""Properties of faders, buttons and labels besides those of every control."""

X = {"x": "0", "touch": "false"}
"""Values of faders and buttons."""


@dataclass
class Control:
    """A control, with what it sends and receives."""

    kind: str
    name: str
    frame: Frame
    properties: Mapping[str, object]
    values: Mapping[str, str]
    messages: Sequence[str] = ()
    children: Sequence["Control"] = ()

    def xml(self) -> str:
        """Return the control and all that is in it."""
        own = {"color": GREY, "frame": self.frame, "name": self.name}
        properties = {**PLAIN, **own, **self.properties}
        parts = [
            _tag("properties", *(_property(key, properties[key]) for key in sorted(properties))),
            _tag("values", *(_value(key, default) for key, default in self.values.items())),
        ]
        if self.messages:
            parts.append(_tag("messages", *self.messages))
        if self.children:
            parts.append(_tag("children", *(child.xml() for child in self.children)))
        identity = uuid5(NAMESPACE_URL, f"stemd:{self.name}")
        return f"<node ID='{identity}' type='{self.kind}'>{''.join(parts)}</node>"


def layout(stems: Iterable[str]) -> bytes:
    """Return the layout for these stems."""
    root = Control(
        "GROUP",
        "stemd",
        Frame(0, 0, WIDTH, HEIGHT),
        {"script": SUBSCRIBE, "interactive": False, "grabFocus": False},
        {"touch": "false"},
        children=[*_controls(list(stems))],
    )
    return zlib.compress(f"{HEAD}<lexml version='{VERSION}'>{root.xml()}</lexml>".encode())


def _controls(stems: list[str]) -> Iterator[Control]:
    whole = Frame(0, GAP, WIDTH, LINE)
    state, delay, unit = _divided(whole, 4, 1, 1)
    yield _label("state", state, "stemd does not answer", "/stemd/state")
    yield _label("delay", delay, "–", "/stemd/delay")
    yield _label("delay unit", unit, "ms delay")
    yield _meter("in", Frame(GAP, 2 * GAP + LINE, WIDTH - 2 * GAP, METER), EAST)
    top = 3 * GAP + LINE + METER
    bottom = HEIGHT - 2 * (LINE + GAP)
    for stem, frame in zip(
        stems, _divided(Frame(0, top, WIDTH, bottom - top), *[1] * len(stems)), strict=True
    ):
        yield from _strip(stem, frame)
    bypass, record = _divided(whole._replace(y=bottom), 1, 1)
    yield from _switch("bypass", "bypass", bypass, BLUE)
    yield from _switch("record", "record", record, RED)
    yield from _presets(whole._replace(y=bottom + LINE + GAP))


def _divided(line: Frame, *shares: float) -> Iterator[Frame]:
    """Return frames beside each other, with gaps around them."""
    room = line.w - GAP * (len(shares) + 1)
    x = line.x + GAP
    for share in shares:
        width = room * share / sum(shares)
        yield Frame(x, line.y, width, line.h)
        x += width + GAP


def _strip(stem: str, frame: Frame) -> Iterator[Control]:
    line, tall = frame._replace(h=LINE), frame.h - 3 * (LINE + GAP)
    yield _label(f"{stem} name", line, stem)
    y = frame.y + LINE + GAP
    middle = Frame(frame.x - GAP, y, frame.w + 2 * GAP, tall - GAP)
    fader, meter = _divided(middle, 4, 1)
    yield _fader(stem, fader)
    yield _meter(stem, meter, NORTH)
    yield from _switch(f"{stem}/mute", "mute", line._replace(y=y + tall), AMBER)
    yield from _switch(f"{stem}/solo", "solo", line._replace(y=y + tall + LINE + GAP), GREEN)


def _fader(stem: str, frame: Frame) -> Control:
    message = _message(f"/stemd/{stem}/fader", _argument("VALUE", "FLOAT", "x"), trigger="ANY")
    values = {**X, "x": str(UNITY)}
    properties = {**SLIDES, "color": BLUE, "grid": True}
    return Control("FADER", f"{stem} fader", frame, properties, values, [message])


def _meter(name: str, frame: Frame, direction: Direction) -> Control:
    properties = {
        **SLIDES,
        "color": GREEN,
        "cursor": False,
        "interactive": False,
        "orientation": direction,
    }
    message = _message(f"/stemd/{name}/level", _argument("VALUE", "FLOAT", "x"))
    return Control("FADER", f"{name} level", frame, properties, X, [message])


def _switch(what: str, label: str, frame: Frame, colour: Colour) -> Iterator[Control]:
    properties = {**PRESSES, "buttonType": TOGGLE, "color": colour}
    message = _message(f"/stemd/{what}", _argument("VALUE", "INTEGER", "x"), trigger="ANY")
    yield Control("BUTTON", what, frame, properties, X, [message])
    yield _label(f"{what} label", frame, label)


def _presets(line: Frame) -> Iterator[Control]:
    """Return a button for each preset, and above them the name of the one that plays."""
    shown, *frames = _divided(line, *[1] * (1 + len(PRESETS)))
    yield _label("preset", shown, "preset", "/stemd/preset")
    for name, frame in zip(PRESETS, frames, strict=True):
        message = _message(
            "/stemd/preset", _argument("CONSTANT", "STRING", name), trigger="RISE", is_shown=False
        )
        properties = {**PRESSES, "buttonType": MOMENTARY}
        yield Control("BUTTON", f"preset {name}", frame, properties, X, [message])
        yield _label(f"preset {name} label", frame, name)


def _label(name: str, frame: Frame, text: str, address: str = "") -> Control:
    """Return a label; with an address, it shows what stemd sends there."""
    messages = [_message(address, _argument("VALUE", "STRING", "text"))] if address else []
    return Control("LABEL", name, frame, READS, {"text": text, "touch": "false"}, messages)


# ---- elements ----


def _tag(name: str, *content: str) -> str:
    return f"<{name}>{''.join(content)}</{name}>"


def _text(name: str, text: str) -> str:
    return f"<{name}><![CDATA[{text}]]></{name}>"


def _property(key: str, value: object) -> str:
    match value:
        case bool():
            kind, text = "b", str(int(value))
        case int() | float():
            kind, text = "i" if isinstance(value, int) else "f", str(value)
        case Frame() | Colour():
            kind = "r" if isinstance(value, Frame) else "c"
            text = "".join(_tag(name, f"{part:g}") for name, part in value._asdict().items())
        case _:
            kind, text = "s", f"<![CDATA[{value}]]>"
    return f"<property type='{kind}'>{_text('key', key)}{_tag('value', text)}</property>"


def _value(key: str, default: str) -> str:
    flags = (_tag("locked", "0"), _tag("lockedDefaultCurrent", "0"))
    pull = _tag("defaultPull", "0")
    return _tag("value", _text("key", key), *flags, _text("default", default), pull)


def _message(address: str, argument: str, trigger: str = "", is_shown: bool = True) -> str:
    """Return an OSC message.

    Parameters
    ----------
    address : str
    argument : str
    trigger : str
        Which changes of the control send it: ``ANY``, ``RISE``; none where it is empty.
    is_shown : bool
        Whether the control follows what stemd sends.
    """
    flags = {"enabled": True, "send": bool(trigger), "receive": is_shown, "feedback": False}
    parts = [_tag(name, str(int(on))) for name, on in flags.items()]
    parts.append(_tag("connections", CONNECTIONS))
    if trigger:
        watched = _tag("trigger", _text("var", "x"), _tag("condition", trigger))
        parts.append(_tag("triggers", watched))
    path = _tag("path", _argument("CONSTANT", "STRING", address))
    return _tag("osc", *parts, path, _tag("arguments", argument))


def _argument(kind: str, conversion: str, value: str) -> str:
    scale = (_tag("scaleMin", "0"), _tag("scaleMax", "1"))
    parts = (_tag("type", kind), _tag("conversion", conversion), _text("value", value))
    return _tag("partial", *parts, *scale)
