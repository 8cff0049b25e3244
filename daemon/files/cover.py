"""Cover pictures: found in a song by ffmpeg, and carried into the stems' files."""

import struct
import subprocess
from base64 import b64encode
from pathlib import Path
from shutil import which
from typing import NamedTuple

FIND_S = 10.0
"""How long each of the programs may take."""

MOST_BYTES = 2**24 - 2**10
"""A block of a FLAC file holds no more."""

FRONT = 3
"""The kind of a picture: the front of the cover."""

_MIME = {"mjpeg": b"image/jpeg", "png": b"image/png"}

_LAST, _PICTURE = 0x80, 6
"""Of a FLAC file's blocks: the flag of the last one, and the kind of pictures."""


class Cover(NamedTuple):
    """A picture.

    Attributes
    ----------
    codec : str
        What ffmpeg calls it: "mjpeg" or "png".
    data : bytes
        The content of its file.
    """

    codec: str
    data: bytes

    @property
    def input_format(self) -> str:
        """What ffmpeg calls a pipe of it."""
        return "jpeg_pipe" if self.codec == "mjpeg" else "png_pipe"

    @property
    def block(self) -> bytes:
        """What a FLAC file holds of it; its size in pixels is left to the picture itself."""
        mime = _MIME[self.codec]
        head = struct.pack(">II", FRONT, len(mime)) + mime + struct.pack(">5I", 0, 0, 0, 0, 0)
        return head + struct.pack(">I", len(self.data)) + self.data

    @property
    def comment(self) -> str:
        """The same as text, which Ogg files have among their tags."""
        return b64encode(self.block).decode()


def find_cover(path: Path) -> Cover | None:
    """Return a song's picture, if it has one and ffmpeg is installed."""
    if not (which("ffmpeg") and which("ffprobe")):
        return None
    source = f"file:{path}"
    entries = "stream=index,codec_name:stream_disposition=attached_pic"
    shown = ("-select_streams", "v", "-show_entries", entries, "-of", "csv=p=0")
    told = _output("ffprobe", "-v", "quiet", *shown, source)
    for line in told.decode(errors="replace").splitlines():
        index, codec, is_attached, *_ = [*line.split(","), "", "", ""]
        if is_attached == "1" and codec in _MIME:
            copied = ("-map", f"0:{index}", "-c", "copy", "-f", "image2pipe", "pipe:1")
            data = _output("ffmpeg", "-nostdin", "-v", "quiet", "-i", source, *copied)
            return Cover(codec, data) if 0 < len(data) <= MOST_BYTES else None
    return None


def insert_picture(path: Path, cover: Cover) -> None:
    """Write a picture into a FLAC file, behind its other blocks.

    Raises
    ------
    OSError
    """
    with path.open("r+b") as file:
        start, kind = 4, 0
        while not kind & _LAST:
            file.seek(start)
            last, (kind, *size) = start, file.read(4)
            start += 4 + int.from_bytes(bytes(size), "big")
        file.seek(last)
        file.write(bytes([kind & ~_LAST]))
        file.seek(start)
        sound = file.read()
        block = cover.block
        file.seek(start)
        file.write(bytes([_LAST | _PICTURE]) + len(block).to_bytes(3, "big") + block + sound)


def _output(*command: str) -> bytes:
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, timeout=FIND_S
        )
    except subprocess.TimeoutExpired:
        return b""
    return ended.stdout
