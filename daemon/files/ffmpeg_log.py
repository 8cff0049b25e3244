"""Reads what ffmpeg reports while it decodes: each frame's time, the declared length, errors."""

import re
from collections import deque
from typing import NamedTuple

from stemd.daemon.files.damage import DamageReport

FILTERS = "asettb=1/sr,ashowinfo"
"""The filters that write the time and length of what was decoded into the log."""

LEVEL = "level+info"
"""The log level, with each message's level in front of it."""

_LINE = re.compile(r"((?:\[\S+ @ \w+\] )*)\[(\w+)\] (.*)")
"""The parts of ffmpeg that speak, the level, and what they say."""

_FRAME = re.compile(
    r"\[Parsed_ashowinfo_\d+ @ \w+\] \[info\] n:\s*\d+ pts:\s*(\S+) .*\bchannels:(\d+) "
    r".*\brate:([1-9]\d*) nb_samples:(\d+)"
)
_DURATION = re.compile(r"\s*Duration: (\d+):(\d+):(\d+\.\d+)")
_PICTURES = re.compile(r"\s*Stream #0:.*: Video: (?!.*\(attached pic\))")
_PROTECTED = re.compile(r"\s*Stream #0:.*: Audio: .*\(drms / ")
_CORRUPT = re.compile(r"Packet corrupt|corrupt (?:input packet|decoded frame)")
_TAG = re.compile(r"\s*(title|artist|album|date|genre|track) +: (.*)")
_INPUT = re.compile(r"\s*(?:Input #|Stream #0:\S*: Audio)")
"""The parts whose tags are the song's: Ogg has them in the stream."""
_OTHER = re.compile(r"\s*(?:Stream|Chapter|Program) ")
"""Parts that have tags of their own: a cover's picture, a chapter."""
_OWN_OUTPUT = re.compile(r"\[(?:out#|aost#|wav )")
_ESTIMATED = "Estimating duration from bitrate"

TAGS = {
    **{name: name for name in ("title", "artist", "album", "date", "genre")},
    "track": "tracknumber",
}
"""soundfile's name for each tag, by ffmpeg's."""

GAP_S, GAP_AT_DAMAGE_S = 0.1, 0.015
"""What counts as a gap between two times. Times of whole files may jitter; at damage, less counts,
but more than the jitter of Vorbis, of some 10 ms."""

LONGEST_GAP_S = 600
"""A longer gap is a damaged time, and nothing is put there."""

BEHIND_END_S = 0.3
"""An error this near the declared end, or behind it, is none of the sound's: ffmpeg reads ahead."""

SHORT_S = 0.1
"""How much shorter than declared a whole file may be."""

PADDING, LONGEST_PADDING_S = 2304, 0.3
"""Frames that an encoder of MP3 adds at the ends, which take longer at low rates."""


class Piece(NamedTuple):
    """A piece of the song.

    Attributes
    ----------
    frames : int
        Of the output.
    is_sound : bool
        ffmpeg gives it; otherwise it is silence to put there.
    is_mono : bool
        It was mono before it was converted to what the output has.
    """

    frames: int
    is_sound: bool = True
    is_mono: bool = False


class FfmpegLog:
    """What is known from the log so far.

    Attributes
    ----------
    samplerate : int
        Of the first sound, and so of the output; 0 until there is one.
    pieces : deque of Piece
        The decoder removes them as it reads the sound.
    damage : DamageReport
    errors : list of str
        What was said before there was sound.
    tags : dict
        Of the song, by soundfile's names for them.
    is_protected : bool
        What ffmpeg decodes is noise: only the seller's programs can play the song.
    """

    def __init__(self) -> None:
        self.samplerate = 0
        self.pieces: deque[Piece] = deque()
        self.damage = DamageReport(1)
        self.errors: list[str] = []
        self.tags: dict[str, str] = {}
        self.is_protected = False
        self._declared_s: float | None = None
        self._is_estimated = self._has_pictures = False
        self._has_songs_tags = True  # the part of the description that is being read
        self._position = 0.0  # frames of the output
        self._next_s: float | None = None  # when the next sound is due
        self._last_rate = 0
        self._rest = b""

    @property
    def expected(self) -> int:
        """How many frames the file declares, or 0."""
        return round((self._declared_s or 0) * self.samplerate)

    def feed(self, data: bytes) -> None:
        """Read on in the log."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._read_line(line.decode(errors="replace"))

    def end(self, is_cut: bool) -> None:
        """Note what is missing at the end, once all sound is read.

        Parameters
        ----------
        is_cut : bool
            Something is missing there for certain, whatever the file declares.
        """
        at = round(self._position)
        missing = self.expected - at
        padding = min(PADDING, LONGEST_PADDING_S * self.samplerate)
        tolerated = max(SHORT_S * self.samplerate, padding)
        is_short = not self._is_estimated and missing > tolerated
        if is_short and (
            self.damage.is_near(at) or not self._has_pictures
        ):  # which may last longer
            self.damage.note(at, missing)
        elif is_cut or self.damage.is_near(at):
            self.damage.note_end(at)

    def _read_line(self, line: str) -> None:
        # A message without an end of line may stand in front of it.
        if frame := _FRAME.search(line):
            pts, channels, samplerate, frames = frame.groups()
            self._take_frame(pts, int(samplerate), int(frames), is_mono=channels == "1")
        elif match := _LINE.match(line):
            parts, level, text = match.groups()
            if level in ("error", "fatal", "panic") or _CORRUPT.search(text):
                self._take_error(parts, text)
            elif not self.samplerate:
                self._take_description(text)

    def _take_description(self, text: str) -> None:
        self.is_protected |= bool(_PROTECTED.match(text))
        if _INPUT.match(text):
            self._has_songs_tags = True
        elif _OTHER.match(text):
            self._has_songs_tags = False
        if duration := _DURATION.match(text):
            hours, minutes, seconds = map(float, duration.groups())
            self._declared_s = hours * 3600 + minutes * 60 + seconds
        elif _PICTURES.match(text):
            self._has_pictures = True
        elif _ESTIMATED in text:
            self._is_estimated = True
        elif self._has_songs_tags and (tag := _TAG.match(text)):
            self.tags.setdefault(TAGS[tag[1]], tag[2])

    def _take_frame(self, pts: str, samplerate: int, frames: int, is_mono: bool) -> None:
        if not self.samplerate:
            self.samplerate = samplerate
            self.damage = DamageReport(samplerate)
        start_s = int(pts) / samplerate if pts.lstrip("-").isdigit() else None
        is_joined = samplerate != self._last_rate  # the times of another file begin anew
        self._last_rate = samplerate
        if start_s is not None and self._next_s is not None and not is_joined:
            self._take_gap(start_s - self._next_s)
        if start_s is None:
            start_s = self._next_s
        self._next_s = None if start_s is None else start_s + frames / samplerate
        self._append(frames * self.samplerate / samplerate, is_mono=is_mono)

    def _take_gap(self, gap_s: float) -> None:
        at, gap = round(self._position), round(gap_s * self.samplerate)
        is_at_damage = self.damage.is_near(at)
        if self._is_estimated and not is_at_damage:
            return  # a file without times: ffmpeg counts them from frame to frame
        if gap_s < (GAP_AT_DAMAGE_S if is_at_damage else GAP_S) or gap_s > LONGEST_GAP_S:
            return
        if self.expected and at + gap > self.expected + SHORT_S * self.samplerate:
            return  # the second of joined files, whose times begin anew
        self.damage.note(at, gap)
        self._append(gap, is_sound=False)

    def _take_error(self, parts: str, text: str) -> None:
        if _OWN_OUTPUT.match(parts):
            return
        if not self.samplerate:
            self.errors.append(text)  # perhaps while it looked for what the file is
            return
        at = round(self._position)
        is_behind = at >= self.expected - BEHIND_END_S * self.samplerate
        if not (self.expected and is_behind and not self._is_estimated):
            self.damage.note(at)

    def _append(self, frames: float, is_sound: bool = True, is_mono: bool = False) -> None:
        start = round(self._position)
        self._position += frames
        self.pieces.append(Piece(round(self._position) - start, is_sound, is_mono))
