"""Messages of OSC 1.0 as they come from the network, read with python-osc if they are small."""

import logging
from collections.abc import Iterator

from pythonosc.osc_message import OscMessage, ParseError

log = logging.getLogger(__name__)

TYPES, MOST_VALUES = b"ifdhsTF", 8
"""Tags of the values that are read, and how many a message has at most: python-osc takes long over
many, and tells the root logger of each that it does not know."""

BUNDLE, BUNDLE_HEAD, SIZE = b"#bundle\0", 16, 4
"""How a bundle begins, its bytes before the first element, and those of each element's size."""


def messages_in(datagram: bytes) -> Iterator[OscMessage]:
    """Give the messages of a datagram, which is one, or a bundle; what is no OSC is left out."""
    if not datagram.startswith(BUNDLE):
        parts = [datagram]
    else:
        parts, rest = [], datagram[BUNDLE_HEAD:]
        while rest:
            end = SIZE + int.from_bytes(rest[:SIZE], "big")
            parts.append(rest[SIZE:end])
            rest = rest[end:]
    for part in parts:
        try:
            _refuse_unreadable(part)
            yield OscMessage(part)
        except (ParseError, ValueError, IndexError):  # a UnicodeDecodeError is a ValueError
            log.debug("OSC: no message")


def _refuse_unreadable(part: bytes) -> None:
    """Raise ValueError for values that are too many, or of other types than `TYPES`.

    Their tags follow the address, which ends with one to four zeros, at the next multiple of four.
    """
    tags, _, _ = part[part.index(b"\0") // 4 * 4 + 4 :].partition(b"\0")
    if len(tags) > 1 + MOST_VALUES or tags.strip(b"," + TYPES):
        raise ValueError(tags)
