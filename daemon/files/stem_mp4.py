"""Stem files of Native Instruments: a mix and four stems in one MP4 file, for DJ programs."""

import json
from collections.abc import Iterator
from errno import EIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

STEM_MP4 = "stem.mp4"
"""The suffix by which programs know them."""

COLOURS = {"drums": "#009E73", "bass": "#D55E00", "other": "#CC79A7", "vocals": "#56B4E9"}
"""Of the stems, in the file's order; by the format, there are four."""

FURTHER = "other"
"""The stem that gets what the networks separate besides these."""

_COMPRESSOR = {
    **{"enabled": False, "ratio": 3, "output_gain": 0.5, "release": 0.3, "attack": 0.003},
    **{"input_gain": 0.5, "threshold": 0, "hp_cutoff": 300, "dry_wet": 50},
}
_LIMITER = {"enabled": False, "release": 0.05, "threshold": 0, "ceiling": -0.35}

MANIFEST = {
    "version": 1,
    "mastering_dsp": {"compressor": _COMPRESSOR, "limiter": _LIMITER},
    "stems": [{"name": name.capitalize(), "color": colour} for name, colour in COLOURS.items()],
}
"""What programs read of the stems; what is to be done with the sum of them is switched off."""

HEADER_BYTES, LONG_HEADER_BYTES = 8, 16
"""Of a box: its length and kind; and a longer length behind them."""


class Box(NamedTuple):
    """A part of an MP4 file.

    Attributes
    ----------
    kind : bytes
    start, end : int
        With its header.
    content : int
        Where its header ends.
    """

    kind: bytes
    start: int
    end: int
    content: int


def boxes(data: bytes | bytearray, start: int = 0) -> Iterator[Box]:
    """Yield the boxes that are one behind the other in data, from a place on."""
    while start + HEADER_BYTES <= len(data):
        box = _box(bytes(data[start : start + LONG_HEADER_BYTES]), start, len(data))
        if not box.content <= box.end <= len(data):
            return
        yield box
        start = box.end


def find_box(file: BinaryIO, kind: bytes) -> Box | None:
    """Return the first box of a kind on the highest level of a file."""
    length, start = file.seek(0, 2), 0
    while start + HEADER_BYTES <= length:
        file.seek(start)
        box = _box(file.read(LONG_HEADER_BYTES), start, length)
        if not box.content <= box.end <= length:
            return None
        if box.kind == kind:
            return box
        start = box.end
    return None


def add_manifest(path: Path) -> None:
    """Write what the stems are into an MP4 file whose index is at its end, as ffmpeg writes it.

    Raises
    ------
    OSError
    """
    with path.open("r+b") as file:
        index = find_box(file, b"moov")
        if index is None or index.end != file.seek(0, 2):
            raise OSError(EIO, "ffmpeg wrote no index at the file's end: install another version")
        file.seek(index.content)
        content = bytearray(file.read(index.end - index.content))
        manifest = _as_box(b"stem", json.dumps(MANIFEST).encode())
        notes = next((box for box in boxes(content) if box.kind == b"udta"), None)
        if notes:
            old = content[notes.content : notes.end]
            content[notes.start : notes.end] = _as_box(b"udta", old + manifest)
        else:
            content += _as_box(b"udta", manifest)
        file.seek(index.start)
        file.write(_as_box(b"moov", content))


def _box(header: bytes, start: int, length: int) -> Box:
    """Read a header; a box without a length goes on to the end."""
    size, kind, content = int.from_bytes(header[:4], "big"), header[4:8], start + HEADER_BYTES
    if size == 1:
        size, content = int.from_bytes(header[8:16], "big"), start + LONG_HEADER_BYTES
    return Box(kind, start, start + size if size else length, content)


def _as_box(kind: bytes, content: bytes | bytearray) -> bytes:
    return (HEADER_BYTES + len(content)).to_bytes(4, "big") + kind + content
