"""Cover pictures: found in a song by ffmpeg, and carried into the stems' files."""

import struct
import subprocess
from base64 import b64encode
from os import SEEK_END
from pathlib import Path
from shutil import which
from typing import Any, BinaryIO, NamedTuple

FIND_S = 10.0
"""How long each of the programs may take."""

MOST_BYTES = 2**24 - 2**10
"""A block of a FLAC file holds no more."""

MOVED_BYTES = 2**20
"""Of a file, at once."""

FRONT = 3
"""The kind of a picture: the front of the cover."""

_MIME = {"mjpeg": b"image/jpeg", "png": b"image/png"}

_MAGIC = {"mjpeg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n"}
"""What such pictures begin with; a song's tags may declare anything."""

_LAST, _PICTURE = 0x80, 6
"""Of a FLAC file's blocks: the flag of the last one, and the kind of pictures."""


class UnusableCoverError(Exception):
    """A song's picture cannot be carried into other files."""


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
    """Return a song's picture, if it has one and ffmpeg is installed.

    Raises
    ------
    UnusableCoverError
        It is no JPEG or PNG that ffmpeg can decode, or it is too large.
    """
    if not (which("ffmpeg") and which("ffprobe")):
        return None
    source = f"file:{path}"
    entries = "stream=index:stream_disposition=attached_pic"
    shown = ("-select_streams", "v", "-show_entries", entries, "-of", "csv=p=0")
    told = _output("ffprobe", "-v", "quiet", *shown, source)
    is_any = False
    for line in told.decode(errors="replace").splitlines():
        index, is_attached, *_ = [*line.split(","), "", ""]
        if is_attached == "1":
            is_any = True
            copied = ("-map", f"0:{index}", "-c", "copy", "-f", "image2pipe", "pipe:1")
            data = _output("ffmpeg", "-nostdin", "-v", "quiet", "-i", source, *copied)
            if cover := _cover_of(data):
                return cover
    if is_any:
        raise UnusableCoverError
    return None


def _cover_of(data: bytes) -> Cover | None:
    """Return a picture that ffmpeg knows the size of; what it does not know spoils a file."""
    codec = next((codec for codec, magic in _MAGIC.items() if data.startswith(magic)), None)
    if codec is None or len(data) > MOST_BYTES:
        return None
    cover = Cover(codec, data)
    shown = ("-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0")
    command = ("ffprobe", "-v", "quiet", "-f", cover.input_format, *shown, "pipe:0")
    known, *sides = _output(*command, given=data).decode(errors="replace").strip().split(",")
    is_known = known == codec and len(sides) == 2
    return cover if is_known and all(side.isdecimal() and int(side) for side in sides) else None


def insert_picture(path: Path, cover: Cover) -> None:
    """Write a picture into a FLAC file, behind its other blocks.

    Raises
    ------
    OSError
    """
    block = cover.block
    with path.open("r+b") as file:
        start, kind = 4, 0
        while not kind & _LAST:
            file.seek(start)
            last, (kind, *size) = start, file.read(4)
            start += 4 + int.from_bytes(bytes(size), "big")
        file.seek(last)
        file.write(bytes([kind & ~_LAST]))
        head = bytes([_LAST | _PICTURE]) + len(block).to_bytes(3, "big")
        _insert(file, start, head + block)


def _insert(file: BinaryIO, start: int, data: bytes) -> None:
    """Insert data into a file; what is behind it is moved in pieces, the last one first."""
    end = file.seek(0, SEEK_END)
    while end > start:
        begin = max(start, end - MOVED_BYTES)
        file.seek(begin)
        piece = file.read(end - begin)
        file.seek(begin + len(data))
        file.write(piece)
        end = begin
    file.seek(start)
    file.write(data)


def _output(*command: str, given: bytes | None = None) -> bytes:
    source: dict[str, Any] = {"stdin": subprocess.DEVNULL} if given is None else {"input": given}
    try:
        ended: subprocess.CompletedProcess[bytes] = subprocess.run(
            command, stdout=subprocess.PIPE, check=False, timeout=FIND_S, **source
        )
    except subprocess.TimeoutExpired:
        return b""
    out: bytes = ended.stdout
    return out
