"""Events, and what docs/control.md says of them."""

import re
from dataclasses import fields
from pathlib import Path

from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.events import (
    BY_NAME,
    ControllerLearned,
    Event,
    StateChanged,
    StripChanged,
)
from stemd.daemon.control.mixer import Strip

DOCUMENT = (Path(__file__).parents[3] / "docs" / "control.md").read_text()


def keys_of(kind: type[Event]) -> set[str]:
    return {each.name for each in fields(kind)} - {"left_out"}


def test_the_document_lists_every_event_with_its_keys():
    table = DOCUMENT.partition("### Events")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", table, re.MULTILINE)
    listed = {name: set(re.findall(r"`(\w+)`", keys)) for name, keys in rows}
    assert listed == {name: keys_of(kind) for name, kind in BY_NAME.items()}


def test_an_event_has_the_keys_of_what_it_is_about():
    assert keys_of(StripChanged) == {"stem", *Strip.model_fields}
    assert keys_of(ControllerLearned) == {*Binding.model_fields}


def test_what_was_left_out_is_counted_only_where_it_was():
    assert StateChanged("playing").as_json() == {"event": "state", "state": "playing"}
    assert StateChanged("playing", left_out=2).as_json()["left_out"] == 2
