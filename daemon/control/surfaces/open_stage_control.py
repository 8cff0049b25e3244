"""A session of Open Stage Control: its widgets as JSON.

https://openstagecontrol.ammd.net/docs/widgets/ has the types of widgets and their properties.
"""

import json
from collections.abc import Iterable
from typing import Any, TypeAlias

from stemd.daemon.control.mixer import UNITY, decibels_at
from stemd.daemon.presets import PRESETS

Widget: TypeAlias = dict[str, Any]

VERSION = "1.25.0"
"""The program's version whose rules the session follows; later ones convert it."""

SUBSCRIBE = """\
// Again and again: stemd may start later, or anew.
send("/stemd/meters")
setInterval(() => send("/stemd/meters"), 5000)
"""

LINE, METER = 50, 18
"""Heights of a line, and widths of a meter [pixels]."""


def layout(stems: Iterable[str]) -> bytes:
    """Return the session for these stems."""
    lines = [_head(), _meter("in", horizontal=True, height=METER), _strips(stems), _switches()]
    root = _box("root", "vertical", lines, type="root", onCreate=SUBSCRIBE)
    session = {"version": VERSION, "type": "session", "content": root}
    return json.dumps(session, indent=1).encode()


def _box(name: str, direction: str, widgets: list[Widget], **more: Any) -> Widget:
    """Return a container, which sends nothing."""
    return {
        "type": "panel",
        "id": name,
        "layout": direction,
        "scroll": False,
        "innerPadding": False,
        "bypass": True,
        **more,
        "widgets": widgets,
    }


def _text(name: str, default: str, **more: Any) -> Widget:
    return {"type": "text", "id": name, "default": default, "expand": True, **more}


def _head() -> Widget:
    after = "label::after { content: ' ms delay' }"
    texts = [
        _text("state", "stemd does not answer", address="/stemd/state"),
        _text("delay", "–", address="/stemd/delay", decimals=0, css=after),
    ]
    return _box("head", "horizontal", texts, height=LINE)


def _strips(stems: Iterable[str]) -> Widget:
    return _box("strips", "horizontal", [*map(_strip, stems)], expand=True)


def _strip(stem: str) -> Widget:
    sliders = [_fader(stem), _meter(stem, width=METER)]
    gain = {"address": f"/stemd/{stem}/gain", "decimals": 1, "css": "label::after {content: ' dB'}"}
    widgets = [
        _text(f"{stem}_name", stem, expand=False, height=LINE),
        _box(f"{stem}_sliders", "horizontal", sliders, expand=True),
        _text(f"{stem}_gain", "–", expand=False, height=LINE, **gain),
        _button(f"{stem}/mute", "Mute", height=LINE),
        _button(f"{stem}/solo", "Solo", height=LINE),
    ]
    return _box(f"{stem}_strip", "vertical", widgets, expand=True)


def _fader(stem: str) -> Widget:
    top = f"{decibels_at(1):+.0f}"
    scale = {"min": {"off": 0}, f"{UNITY:.0%}": {"0": UNITY}, "max": {top: 1}}
    return {
        "type": "fader",
        "id": f"{stem}_fader",
        "address": f"/stemd/{stem}/fader",
        "range": scale,
        "default": UNITY,
        "doubleTap": True,
        "decimals": 4,
        "pips": True,
        "expand": True,
    }


def _meter(name: str, **more: Any) -> Widget:
    return {
        "type": "fader",
        "id": f"{name}_level",
        "address": f"/stemd/{name}/level",
        "design": "compact",
        "interaction": False,
        "bypass": True,
        **more,
    }


def _button(address: str, label: str, **more: Any) -> Widget:
    return {
        "type": "button",
        "id": address.replace("/", "_"),
        "address": f"/stemd/{address}",
        "label": label,
        "typeTags": "i",
        **more,
    }


def _switches() -> Widget:
    presets = {
        "type": "switch",
        "id": "preset",
        "address": "/stemd/preset",
        "layout": "horizontal",
        "values": [*PRESETS],
        "mode": "click",
        "width": "50%",
    }
    buttons = [_button("bypass", "Bypass", expand=True), _button("record", "Record", expand=True)]
    return _box("switches", "horizontal", [*buttons, presets], height=LINE)
