"""Other instruments play the same notes, and what is held out is played as written."""

from collections import Counter
from random import Random

import mido
import pytest

from research.training import render
from research.training.accompaniments import compose
from research.training.casting import INSTRUMENTS, RESHAPINGS, in_first_channel, recast
from research.training.fonts import FONTS
from research.training.render import performances
from research.training.songs import PARTS, VOICES, Note, Song

NUMBERED = (99, 98, 38, 6)
"""Controllers that choose a sound font's number and tell what is added to it."""


def struck(notes: list[Note]) -> list[tuple[float, int]]:
    return [(each.time_s, each.message.note) for each in notes if each.message.type == "note_on"]


def notes_of(channel: int) -> list[Note]:
    return [
        Note(0.0, mido.Message("program_change", channel=channel, program=1)),
        Note(0.0, mido.Message("control_change", channel=channel, control=0, value=1)),
        Note(0.5, mido.Message("control_change", channel=channel, control=7, value=99)),
        Note(0.6, mido.Message("control_change", channel=channel, control=121, value=0)),
        *(Note(n, mido.Message("note_on", channel=channel, note=60 + n)) for n in range(3)),
    ]


@pytest.mark.parametrize(("part", "channel"), [("drums", 9), ("bass", 2), ("other", 0)])
def test_another_cast_plays_the_same_at_the_same_time(part, channel):
    seen, written = set(), notes_of(channel)
    for seed in range(1000):
        played = recast(written, part, Random(seed))
        (program,) = (each.message.program for each in played if hasattr(each.message, "program"))
        assert played[0].message.type == "program_change", "before the first note"
        controls = [each.message.control for each in played if hasattr(each.message, "control")]
        assert [control for control in controls if control not in NUMBERED] == [7]
        octaves = {
            new[1] - old[1] for new, old in zip(struck(played), struck(written), strict=True)
        }
        assert len(octaves) == 1
        assert octaves <= ({-12, 0, 12} if part == "other" else {0})
        assert [time_s for time_s, _ in struck(played)] == [0, 1, 2]
        seen.add(program)
    assert seen == set(INSTRUMENTS[part])


def test_drums_in_the_first_channel_hear_nothing_of_others():
    others = [
        Note(0.0, mido.Message("pitchwheel", channel=0, pitch=8191)),
        Note(0.0, mido.Message("control_change", channel=2, control=7, value=0)),
    ]
    moved = in_first_channel([*others, *notes_of(9)])
    assert [each.message for each in moved] == [each.message for each in notes_of(0)]


def test_no_cast_sings_and_no_other_plays_the_bass():
    assert not set(INSTRUMENTS["other"]) & {*VOICES, *INSTRUMENTS["bass"]}


@pytest.mark.parametrize(("part", "channel"), [("drums", 9), ("bass", 2), ("other", 0)])
def test_sounds_are_changed_within_bounds_before_the_first_note(part, channel):
    bounds = {each.generator: each for together in RESHAPINGS[part] for each in together}
    seen = set()
    for seed in range(200):
        played = recast(notes_of(channel), part, Random(seed))
        first = next(n for n, each in enumerate(played) if each.message.type == "note_on")
        sent = [
            (each.message.control, each.message.value)
            for each in played[:first]
            if getattr(each.message, "control", None) in NUMBERED
        ]
        for (high, bank), (low, generator), (fine, lower), (coarse, upper) in zip(
            *(sent[n::4] for n in range(4)), strict=True
        ):
            assert (high, low, fine, coarse, bank) == (*NUMBERED, 120)
            bound = bounds[generator]
            amount = (128 * upper + lower - 8192) * bound.step
            assert bound.low - bound.step <= amount <= bound.high + bound.step
            seen.add(generator)
    assert seen == set(bounds)


def song(digit: str, is_made_up: bool = False) -> Song:
    return Song(f"{'mma' if is_made_up else 'p'}/{digit}", digit * 64, b"", is_made_up)


@pytest.mark.parametrize("held_out", [song("0"), song("2")])
def test_what_is_held_out_is_played_as_written_by_its_own_fonts(held_out):
    played = list(performances([held_out]))
    assert not any(each.cast for each in played)
    assert {each.part for each in played} == set(PARTS)
    assert all(held_out.split in each.font.splits for each in played)


def test_no_font_of_the_test_is_learnt_from():
    assert all(font.splits == ("test",) for font in FONTS if "test" in font.splits)


def test_what_is_written_is_played_through_so_many_fonts_and_all_that_are_held_out():
    def written(song):
        return Counter(each.part for each in performances([song]) if not each.cast)

    assert set(written(song("f")).values()) <= set(range(2, render.WRITTEN[False] + 1))
    assert set(written(song("f", is_made_up=True)).values()) == {1}
    for held_out in (song("0"), song("2")):
        fonts = [font for font in FONTS if held_out.split in font.splits]
        assert written(held_out) == {
            part: sum(part in font.parts for font in fonts) for part in PARTS
        }


def test_no_font_plays_a_part_in_another_cast_twice():
    for digit in "3456789abcdef":
        casts = [(each.part, each.font.name) for each in performances([song(digit)]) if each.cast]
        assert len(casts) == len(set(casts)) == len(PARTS) * render.CASTS[False]


def test_each_performance_has_a_file_of_its_own():
    names = [each.name for each in performances([song("f"), song("e", is_made_up=True)])]
    assert len(set(names)) == len(names)


def test_parts_of_a_song_agree_in_key(monkeypatch):
    whole = {"drums": notes_of(9), "bass": notes_of(2), "other": notes_of(0)}
    monkeypatch.setattr(Song, "parts", lambda _: whole)
    monkeypatch.setattr(render, "TRANSPOSITIONS", (1, 2))
    for digit in "3456789":
        played = [each for each in performances([song(digit)]) if each.font.has_programs]
        keys = {struck(each.notes())[0][1] % 12 for each in played if each.part != "drums"}
        assert len(keys) == 1
        assert keys <= {1, 2}
        drums = [each for each in played if each.part == "drums"]
        assert all(struck(each.notes()) == struck(whole["drums"]) for each in drums)


def test_the_name_decides_what_is_made_up():
    grooves = ["Slow", "Fast"]
    assert compose("stdlib/rock", grooves) == compose("stdlib/rock", grooves)
    assert compose("stdlib/rock", grooves) != compose("stdlib/folk", grooves)


def test_a_song_made_up_has_a_chord_for_every_bar():
    lines = compose("stdlib/rock", ["Slow"]).splitlines()
    bars = [int(line.split()[0]) for line in lines if line[0].isdigit()]
    assert bars == list(range(1, len(bars) + 1))
    assert lines.index("Groove stdlib/rock:Slow") < lines.index(f"1 {lines[3].split()[1]}")
