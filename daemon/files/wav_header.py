"""Reads the header of a WAV file, of which only the beginning may be there."""

from dataclasses import dataclass
from struct import unpack_from

_FORMAT, _DATA = b"fmt ", b"data"

_EXTENSIBLE = 0xFFFE
"""The format of headers that name the speakers."""

_MASK_AT, _MASK_END = 20, 24
"""Where in the format chunk they are."""


@dataclass(frozen=True)
class WavHeader:
    """What the header says.

    Attributes
    ----------
    samplerate : int
        Frames per second.
    channels : int
    mask : int
        The speakers, a bit for each; 0 if they are not named.
    data_at : int
        Where the samples begin; 0 if that is beyond what was read.
    """

    samplerate: int
    channels: int
    mask: int
    data_at: int


def read_wav_header(head: bytes | bytearray) -> WavHeader | None:
    """Return what a WAV file's first bytes say; None if they do not reach the format."""
    place, found = 12, None
    while place + 8 <= len(head):
        name, size = unpack_from("<4sI", head, place)
        body = place + 8
        if name == _DATA:
            return found and WavHeader(*found, data_at=body)
        if name == _FORMAT and body + size <= len(head) and size >= 16:
            found = _format(head[body : body + size])
        place = body + size + size % 2
    return found and WavHeader(*found, data_at=0)


def _format(chunk: bytes | bytearray) -> tuple[int, int, int]:
    kind, channels, samplerate = unpack_from("<HHI", chunk)
    mask = 0
    if kind == _EXTENSIBLE and len(chunk) >= _MASK_END:
        (mask,) = unpack_from("<I", chunk, _MASK_AT)
    return samplerate, channels, mask
