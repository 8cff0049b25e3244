"""Requests on the control socket, version 1: one line of JSON each; see docs/control.md."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from stemd.daemon.control.mixer import Decibels
from stemd.daemon.ports import StemName
from stemd.daemon.presets import PresetName
from stemd.daemon.record_wish import RecordingFormat
from stemd.daemon.sections import is_absolute
from stemd.daemon.sound_device import DeviceMode
from stemd.daemon.validation_errors import in_words

VERSION = 1

LONGEST_LINE = 4096
"""Bytes."""

MOST_PROBLEMS = 5
"""The most problems that are reported of one request."""

LARGEST_ID, LONGEST_ID = 2**53, 64
"""Of a request's id: a number, either way, and the characters of a text."""


LONGEST_PASSWORD, LONGEST_PATH = 100, 1024
"""Characters."""


def _is_id(value: object) -> object:
    match value:
        case str() if len(value) <= LONGEST_ID:
            return value
        case int() if abs(value) <= LARGEST_ID and not isinstance(value, bool):
            return value
    raise ValueError(f"must be a whole number, or text of at most {LONGEST_ID} characters")


RequestId: TypeAlias = Annotated[int | str, BeforeValidator(_is_id)]


class _Request(BaseModel):
    # Deferred, for ever: `_REQUEST` validates all of them.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    id: RequestId | None = None
    """The reply has the same id."""


class Status(_Request):
    """Return the state of the daemon."""

    do: Literal["status"]


class Set(_Request):
    """Change a stem's gain, mute or solo; those that are left out stay."""

    do: Literal["set"]
    stem: StemName
    gain: Decibels | None = None
    mute: bool | None = None
    solo: bool | None = None


class Bypass(_Request):
    """Switch bypass on or off; without ``on``, to the other state."""

    do: Literal["bypass"]
    on: bool | None = None


class Device(_Request):
    """Begin to be a sound device, or none; without ``mode``, return what there is."""

    do: Literal["device"]
    mode: DeviceMode | None = None


Folder: TypeAlias = Annotated[str, Field(max_length=LONGEST_PATH), AfterValidator(is_absolute)]


class Record(_Request):
    """Begin or end a recording; without ``on``, the other of the two."""

    do: Literal["record"]
    on: bool | None = None
    folder: Folder | None = None
    format: RecordingFormat | None = None
    before_faders: bool | None = None
    align: bool | None = None
    auto: bool = False


class Learn(_Request):
    """Bind the next MIDI controller that moves."""

    do: Literal["learn"]
    does: Literal["gain", "mute", "solo", "bypass", "record"]
    stem: StemName | None = None
    fine: bool = False
    toggles: bool = False


class Reload(_Request):
    """Read the configuration again; with ``preset``, go over to that one instead of the file's."""

    do: Literal["reload"]
    preset: PresetName | None = None


class Stop(_Request):
    """End the daemon."""

    do: Literal["stop"]


class Web(_Request):
    """Return the address of the page."""

    do: Literal["web"]


class Login(_Request):
    """Show that the client may steer, where the page has a password."""

    do: Literal["login"]
    password: Annotated[str, Field(max_length=LONGEST_PASSWORD)]


class Subscribe(_Request):
    """Send events from now on, and levels if ``meters`` is given."""

    do: Literal["subscribe"]
    meters: Annotated[float, Field(ge=0.02, le=60.0)] | None = None
    """Seconds from one event ``meters`` to the next."""


Request: TypeAlias = (
    Status | Set | Bypass | Device | Record | Learn | Reload | Stop | Web | Login | Subscribe
)

_ID: TypeAdapter[RequestId | None] = TypeAdapter(RequestId | None)
_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="do")])


class RequestError(Exception):
    """A request cannot be answered.

    Attributes
    ----------
    code : str
        ``json``, ``request``, ``login``, ``stem``, ``failed``, ``busy`` or ``long``; see
        docs/control.md.
    id : int, str or None
        The request's, where it could be read.
    """

    def __init__(self, code: str, message: str, id: RequestId | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.id = id


def parse(line: bytes) -> Request:
    """Read a request.

    Raises
    ------
    RequestError
        It is not valid.
    """
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, json.JSONDecodeError) else "nothing that is read"
        raise RequestError("json", f"a request must be a line of JSON: {reason}") from None
    if not isinstance(data, dict):
        raise RequestError("request", 'a request must be an object: {"do": "status"}')
    try:
        return _REQUEST.validate_python(data)
    except ValidationError as error:
        raise RequestError("request", _explain(error), _id_of(data)) from None


def reply(id: RequestId | None, result: object) -> bytes:
    """Return the reply to a request that was done; the attributes of ``result`` are its keys."""
    return line({"id": id, "ok": True, "result": result})


def refusal(error: RequestError) -> bytes:
    """Return the reply to a request that was refused."""
    problem = {"code": error.code, "message": str(error)}
    return line({"id": error.id, "ok": False, "error": problem})


def line(data: Mapping[str, Any]) -> bytes:
    """Return a JSON object as a line; an object in it becomes one with its attributes."""
    return json.dumps(data, allow_nan=False, default=vars).encode() + b"\n"


def _id_of(data: Mapping[str, Any]) -> RequestId | None:
    try:
        return _ID.validate_python(data.get("id"), strict=True)
    except ValidationError:
        return None


def _explain(error: ValidationError) -> str:
    """Return the problems of a request, as ``key: rule``."""
    problems = []
    for details in error.errors(include_url=False)[:MOST_PROBLEMS]:
        where = ".".join(str(part) for part in details["loc"][1:])
        match details["type"]:
            case "union_tag_not_found" | "union_tag_invalid":
                verbs = sorted(each.__name__.lower() for each in _Request.__subclasses__())
                where, message = "do", f"must be one of {', '.join(verbs)}"
            case _:
                message = in_words(details)
        problems.append(f"{where}: {message}")
    return "; ".join(problems)
