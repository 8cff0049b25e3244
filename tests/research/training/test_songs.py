"""Who plays what, which songs are held out, and that parts keep their time."""

import io
import struct

import mido
import pytest

from research.training import songs
from research.training.casting import transposed
from research.training.render import midi_of
from research.training.songs import SECONDS, Note, Song, all_songs, midi_files, part_of, read_wad


@pytest.mark.parametrize(
    ("channel", "program", "middle", "part"),
    [
        (9, 0, 36, "drums"),
        (9, 53, 36, "drums"),
        (0, 33, 36, "bass"),
        (0, 38, 79, "other"),
        (0, 81, 30, "bass"),
        (0, 81, 60, "other"),
        (3, 0, 30, "other"),
        (3, 53, 36, None),
        (3, 91, 60, None),
    ],
)
def test_parts_go_by_channel_program_and_pitch(channel, program, middle, part):
    assert part_of(channel, program, middle) == part


def notes_of(song, *types):
    """Pitches by part."""
    return {
        part: [each.message.note for each in notes if each.message.type in types]
        for part, notes in song.parts().items()
    }


def test_a_channel_plays_one_part_with_each_of_its_programs():
    song = Song(
        "p/n",
        "0" * 64,
        file_of(
            mido.Message("program_change", channel=0, program=33),
            *(mido.Message("note_on", channel=0, note=note) for note in (28, 33, 70)),
            mido.Message("note_off", channel=0, note=70),
            mido.Message("program_change", channel=0, program=38),
            *(mido.Message("note_on", channel=0, note=note) for note in (40, 77, 79)),
        ),
    )
    assert notes_of(song, "note_on") == {
        "drums": [],
        "bass": [28, 33, 70],
        "other": [40, 77, 79],
    }


@pytest.mark.parametrize(
    ("digit", "split"), [("0", "test"), ("1", "test"), ("2", "validation"), ("f", "train")]
)
def test_the_checksum_decides_what_a_song_is_for(digit, split):
    assert Song("package/name", "a" * 63 + digit, b"").split == split


def test_songs_of_mma_are_for_learning_whatever_their_checksum():
    assert Song("mma/name", "0" * 64, b"").split == "train"


def file_of(*messages):
    file = io.BytesIO()
    mido.MidiFile(tracks=[mido.MidiTrack(messages)], ticks_per_beat=100).save(file=file)
    return file.getvalue()


def test_a_note_ends_in_the_part_where_it_began():
    song = Song(
        "p/n",
        "0" * 64,
        file_of(
            mido.Message("program_change", channel=0, program=33),
            mido.Message("note_on", channel=0, note=40),
            mido.Message("program_change", channel=0, program=0),
            mido.Message("note_off", channel=0, note=40),
            mido.Message("note_on", channel=0, note=41),
            mido.Message("note_on", channel=0, note=41, velocity=0),
            mido.Message("note_off", channel=0, note=42),
        ),
    )
    parts = notes_of(song, "note_on", "note_off")
    assert parts == {"drums": [], "bass": [40, 40], "other": [41, 41]}


def test_each_note_is_in_one_part_and_the_rest_in_all():
    song = Song(
        "p/n",
        "0" * 64,
        file_of(
            mido.Message("program_change", channel=0, program=33),
            mido.Message("control_change", channel=0, control=7, value=90),
            mido.Message("note_on", channel=0, note=40),
            mido.Message("note_on", channel=9, note=36, time=100),
            mido.Message("note_on", channel=9, note=38, time=9000),
        ),
    )
    parts = song.parts()
    struck = {
        part: [(each.time_s, each.message.note) for each in notes if each.message.type == "note_on"]
        for part, notes in parts.items()
    }
    # A beat is half a second where nothing else is said.
    assert struck == {"drums": [(0.5, 36)], "bass": [(0.0, 40)], "other": []}
    for notes in parts.values():
        assert {each.message.type for each in notes} >= {"program_change", "control_change"}


def test_a_part_keeps_its_time_and_ends():
    notes = [
        Note(0.25, mido.Message("note_on", channel=0, note=60)),
        Note(0.75, mido.Message("note_on", channel=9, note=36)),
        Note(1.0, mido.Message("note_off", channel=9, note=36)),
    ]
    file = io.BytesIO(midi_of([transposed(note, 2) for note in notes]))
    played, time_s = [], 0.0
    for message in mido.MidiFile(file=file):
        time_s += message.time
        if not message.is_meta:
            played.append((round(time_s, 3), message.type, message.note))
    assert played == [
        (0.25, "note_on", 62),
        (0.75, "note_on", 36),  # drums stay
        (1.0, "note_off", 36),
        (SECONDS, "note_off", 62),
    ]


def test_music_is_found_in_a_wad():
    lumps = {b"D_ONE": b"MThd1", b"FLOOR": b"xx", b"D_TWO": b"MThd22"}
    data, directory = b"", b""
    for name, content in lumps.items():
        directory += struct.pack("<II8s", 12 + len(data), len(content), name)
        data += content
    wad = b"PWAD" + struct.pack("<II", len(lumps), 12 + len(data)) + data + directory
    assert dict(read_wad(wad)) == {"D_ONE": b"MThd1", "D_TWO": b"MThd22"}


def test_songs_of_one_name_in_two_folders_stay_two(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "song.mid").write_bytes(folder.encode())
    assert sorted(midi_files(tmp_path)) == [("a/song.mid", b"a"), ("b/song.mid", b"b")]


def band(notes: int, pitch: int = 40) -> bytes:
    """Drums, a bass and a piano, so many notes each, one after the other."""
    return file_of(
        mido.Message("program_change", channel=0, program=33),
        *(
            mido.Message("note_on", channel=channel, note=pitch, time=time)
            for _ in range(notes)
            for channel, time in ((9, 10), (0, 0), (1, 0))
        ),
    )


def test_songs_are_taken_once_where_all_parts_play_in_them(tmp_path, monkeypatch):
    files = {
        "a/full.mid": band(24),
        "a/sparse.mid": band(23),
        "b/again.mid": band(24),
        "b/broken.mid": b"MThd",
        "b/full.mid": band(24, pitch=41),
    }
    for name, midi in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(midi)
    monkeypatch.setattr(songs, "PACKAGES", {"a": "", "b": ""})
    monkeypatch.setattr(songs, "unpacked", lambda package: tmp_path / package)
    monkeypatch.setattr(songs, "accompaniments", lambda: iter([("rock", band(30))]))
    found = all_songs()
    assert [song.name for song in found] == ["a/full.mid", "b/full.mid", "mma/made up/rock"]
    assert [song.is_made_up for song in found] == [False, False, True]
