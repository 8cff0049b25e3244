"""Pydantic's errors are in the words of stemd, whichever the schema can give."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from stemd.daemon.config import Config
from stemd.daemon.control.protocol import Request
from stemd.daemon.validation_errors import RULES, in_words

WORDED = {*RULES, "value_error"}
"""Types of errors in the words of stemd; those of validators of its own have theirs."""

VALUES = [None, True, 3, -1, 2.5, 10**9, float("nan"), "", "x", "x" * 2000, [], [1], {}, {"x": 1}]


def places(value: Any, path=()) -> Iterator[tuple[object, ...]]:
    """Every key of nested mappings."""
    yield path
    if isinstance(value, dict):
        for key, each in value.items():
            yield from places(each, (*path, key))


def put(data: Any, path, value: Any) -> Any:
    if not path:
        return value
    return {**data, path[0]: put(data[path[0]], path[1:], value)}


RIGHT = {
    **Config().model_dump(mode="json"),
    "mixer": {"strips": {"vocals": {"gain": 0.0, "mute": False, "solo": False}}, "ramp": 0.1},
}
BINDING = {"cc": 1, "does": "mute", "stem": "vocals", "channel": 1, "fine": False, "toggles": True}


def broken() -> Iterator[Any]:
    """Configurations with one value of another kind."""
    for path in places(RIGHT):
        for value in VALUES:
            yield put(RIGHT, path, value)
    for key in BINDING:
        for value in VALUES:
            yield put(RIGHT, ("midi", "bindings"), [{**BINDING, key: value}])


def test_every_error_of_a_configuration_is_in_words_of_stemd():
    seen = set()
    for data in broken():
        try:
            Config.model_validate(data)
        except ValidationError as error:
            for details in error.errors():
                seen.add(details["type"])
                assert not re.search(r"[Ii]nput|[Ss]hould|[Vv]alid", in_words(details)), details
    assert seen <= WORDED
    assert len(seen) > 10


@pytest.mark.parametrize("verb", ["set", "learn", "subscribe", "bypass"])
def test_every_error_of_a_request_is_in_words_of_stemd(verb):
    adapter: TypeAdapter[Any] = TypeAdapter(Request)
    for key in ("id", "stem", "gain", "mute", "does", "on", "meters"):
        for value in VALUES:
            try:
                adapter.validate_python({"do": verb, key: value})
            except ValidationError as error:
                for details in error.errors():
                    if details["loc"][0].lower() == verb:
                        assert details["type"] in WORDED, details


@pytest.mark.parametrize(("value", "written"), [(None, "null"), (True, "true"), (False, "false")])
def test_what_was_found_is_shown_as_it_was_written(value, written):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(float).validate_python(value, strict=True)
    assert in_words(caught.value.errors()[0]) == f"must be a number (got {written})"
    assert json.loads(written) is value
