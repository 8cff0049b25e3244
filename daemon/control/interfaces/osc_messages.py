"""Messages of OSC 1.0 as they come from the network, read with python-osc if they are small."""

import logging
import struct
from collections.abc import Iterator
from typing import TypeAlias

from pythonosc.osc_message import OscMessage, ParseError

log = logging.getLogger(__name__)

Value: TypeAlias = int | float | str

TYPES, MOST_VALUES = b"ifdhsTF", 8
"""Tags of the values that are read, and how many a message has at most: python-osc takes long over
many, and logs each that it does not know to the root logger."""

BUNDLE, BUNDLE_HEAD, SIZE = b"#bundle\0", 16, 4
"""How a bundle begins, its bytes before the first element, and those of each element's size."""


def messages_in(datagram: bytes) -> Iterator[OscMessage | None]:
    """Yield the messages of a datagram, which is one, or a bundle; None for what is no OSC."""
    if not datagram.startswith(BUNDLE):
        yield _read(datagram)
        return
    rest = datagram[BUNDLE_HEAD:]
    while rest:
        end = SIZE + int.from_bytes(rest[:SIZE], "big")
        yield _read(rest[SIZE:end])
        rest = rest[end:]


def encoded(address: str, value: Value) -> bytes:
    """Return a message with one value."""
    match value:
        case int():
            tag, data = b",i", struct.pack(">i", value)
        case float():
            tag, data = b",f", struct.pack(">f", value)
        case _:
            tag, data = b",s", _padded(value.encode())
    return _padded(address.encode()) + _padded(tag) + data


def _padded(text: bytes) -> bytes:
    return text + b"\0" * (4 - len(text) % 4)


def _read(part: bytes) -> OscMessage | None:
    try:
        _refuse_unreadable(part)
        return OscMessage(part)
    except (ParseError, ValueError, IndexError):  # a UnicodeDecodeError is a ValueError
        log.debug("OSC: no message")
        return None


def _refuse_unreadable(part: bytes) -> None:
    """Raise ValueError for what begins with no address, and for values that are not read.

    Those are too many, or of other types than `TYPES`. Their tags follow the address, which ends
    with one to four zeros, at the next multiple of four.
    """
    if not part.startswith(b"/"):
        raise ValueError(part[:1])
    tags, _, _ = part[part.index(b"\0") // 4 * 4 + 4 :].partition(b"\0")
    values = tags.removeprefix(b",")
    if len(values) > MOST_VALUES or values.strip(TYPES):
        raise ValueError(tags)
