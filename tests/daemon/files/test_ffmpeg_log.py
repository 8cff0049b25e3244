"""What ffmpeg writes while it decodes, of each version that is in use."""

import pytest

from stemd.daemon.files.damage import Damage
from stemd.daemon.files.ffmpeg_log import FfmpegLog

RATE = 1000


def frame(pts: object, frames: int = 100, rate: int = RATE, position: str = "pos:-1 ") -> str:
    """As ffmpeg 5 writes it; from 7 on it has no position."""
    return (
        f"[Parsed_ashowinfo_1 @ 0x55b] [info] n:0 pts:{pts} pts_time:0.1 {position}fmt:fltp "
        f"channels:2 chlayout:stereo rate:{rate} nb_samples:{frames} checksum:0 "
    )


def fed(*lines: str, is_cut: bool = False) -> FfmpegLog:
    log = FfmpegLog()
    text = "".join(line + "\n" for line in lines).encode()
    for at in range(0, len(text), 7):  # as pipes may give it
        log.feed(text[at : at + 7])
    log.end(is_cut)
    return log


def frames(log: FfmpegLog) -> list[int]:
    """Positive where ffmpeg gives the sound, negative for silence."""
    return [piece.frames if piece.is_sound else -piece.frames for piece in log.pieces]


DURATION = "[info]   Duration: 00:00:01.00, start: 0.025057, bitrate: 159 kb/s"
ESTIMATED = "[mp3 @ 0x5] [warning] Estimating duration from bitrate, this may be inaccurate"
VIDEO = "[info]   Stream #0:0[0x1](und): Video: h264 (Main), yuv420p, 25 fps"
COVER = "[info]   Stream #0:1: Video: png, rgb24(pc), 16x16, 90k tbr (attached pic)"
ERROR = "[error] Error while decoding stream #0:0: Invalid data found when processing input"
ERROR_7 = "[aist#0:0/alac @ 0x55] [dec:alac @ 0x56] [error] Error submitting packet to decoder: x"
OUTPUT = "[out#0/wav @ 0x55] [error] x"
TEN = [frame(100 * n) for n in range(10)]


@pytest.mark.parametrize("position", ["pos:417 ", ""])
def test_sound_is_as_long_as_its_frames(position):
    log = fed(DURATION, *(frame(100 * n, position=position) for n in range(10)))
    assert frames(log) == [100] * 10
    assert log.expected == RATE
    assert len(log.damage) == 0


def test_a_gap_in_time_is_silence_and_told():
    log = fed(DURATION, *TEN[:3], *TEN[5:])
    assert frames(log) == [100, 100, 100, -200, 100, 100, 100, 100, 100]
    assert list(log.damage) == [Damage(300, 200)]


def test_a_short_gap_counts_at_an_error_only():
    short = [frame(0), frame(120), frame(220, 780)]
    assert frames(fed(*short)) == [100, 100, 780]
    assert frames(fed(short[0], ERROR, *short[1:])) == [100, -20, 100, 780]


@pytest.mark.parametrize("error", [ERROR, ERROR_7])
def test_an_error_without_a_gap_is_told(error):
    later = [frame(100 * n) for n in range(10, 60)]
    assert list(fed(*TEN[:5], error, error, *TEN[5:], *later).damage) == [Damage(500, 0)]


def test_an_error_shortly_before_the_end_is_about_the_end():
    """ffmpeg 7 reads ahead, and tells it early."""
    assert list(fed(*TEN[:8], ERROR, *TEN[8:]).damage) == [Damage(1000, 0)]


def test_errors_of_the_output_are_none_of_the_songs():
    assert len(fed(*TEN[:5], OUTPUT, *TEN[5:]).damage) == 0


def test_errors_before_the_sound_and_behind_its_end_are_none():
    assert len(fed(ERROR, DURATION, ERROR, *TEN, ERROR).damage) == 0


def test_times_that_begin_anew_are_of_a_joined_song():
    assert frames(fed(DURATION, *TEN, *TEN)) == [100] * 20
    assert frames(fed(DURATION, *TEN, frame(1_500))) == [100] * 11
    assert frames(fed(*TEN[:2], frame(900, 200, 2 * RATE))) == [100] * 3


def test_a_time_that_is_far_off_is_damaged_itself():
    assert frames(fed(TEN[0], frame(10**12), frame(10**12 + 100))) == [100] * 3
    assert frames(fed(TEN[0], frame("NOPTS"), TEN[2])) == [100] * 3


@pytest.mark.parametrize(
    ("heads", "is_told"), [([], True), ([COVER], True), ([VIDEO], False), ([ESTIMATED], False)]
)
def test_an_early_end_is_told_where_the_declared_one_is_the_sounds(heads, is_told):
    log = fed(*heads, DURATION, *TEN[:6])
    assert list(log.damage) == ([Damage(600, 400)] if is_told else [])


def test_an_error_at_the_end_of_a_film_makes_it_short():
    assert list(fed(VIDEO, DURATION, *TEN[:6], ERROR).damage) == [Damage(600, 400)]


def test_what_is_cut_for_certain_is_told():
    assert list(fed(*TEN, is_cut=True).damage) == [Damage(1000, 0)]


def test_a_message_without_an_end_of_line_hides_no_frame():
    assert frames(fed("[alac @ 0x5] [warning] is not implemented. " + TEN[0])) == [100]


def test_a_tag_that_looks_like_a_frame_is_none():
    tag = "[info]     title           : n: 0 pts:0 x channels:1 x rate:0 nb_samples:5"
    log = fed(tag, *TEN)
    assert frames(log) == [100] * 10
    assert log.tags == {"title": "n: 0 pts:0 x channels:1 x rate:0 nb_samples:5"}


def test_tags_are_those_of_the_song_and_of_its_sound():
    """As of an M4A with chapters and a cover, and of Ogg."""
    log = fed(
        "[info] Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'file:song.m4a':",
        "[info]   Metadata:",
        "[info]     artist          : Nino",
        DURATION,
        "[info]   Chapters:",
        "[info]     Chapter #0:0: start 0.000000, end 1.000000",
        "[info]       Metadata:",
        "[info]         title           : Chapter one",
        "[info]   Stream #0:1: Video: png, rgb24(pc), 16x16, 90k tbr (attached pic)",
        "[info]       Metadata:",
        "[info]         title           : Cover (front)",
        "[info]   Stream #0:0(und): Audio: vorbis, 44100 Hz, stereo, fltp",
        "[info]       Metadata:",
        "[info]         album           : Songs",
        *TEN,
    )
    assert log.tags == {"artist": "Nino", "album": "Songs"}


def test_a_protected_song_is_told_from_others():
    lines = [
        f"[info]   Stream #0:0[0x1](und): Audio: aac (LC) ({tag} / 0x0), 44100 Hz, stereo"
        for tag in ("drms", "mp4a")
    ]
    assert [fed(line).is_protected for line in lines] == [True, False]
