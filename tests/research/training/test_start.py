"""What a run begins with, and that it has not heard what it is measured by."""

import json
from dataclasses import dataclass, replace

import pytest

from research.training import start
from research.training.errors import TrainingError
from research.training.fonts import FONTS
from research.training.songs import Song
from research.training.start import (
    Start,
    bundled,
    bundled_start,
    likeness,
    refuse_heard,
    refuse_unlike,
)
from research.training.tracks import OWN, STEMS, Track
from stemd.tflite_models.errors import ModelError

SEED = 8


@dataclass(frozen=True)
class Heard:
    """A song, a font or a track of the user's own, as far as it matters here."""

    sha256: str
    split: str = "train"

    @property
    def name(self):
        return f"of {self.sha256}"

    file = name

    @property
    def splits(self):
        return (self.split,)


def card(songs, fonts, own=(), before=None):
    material = {
        "songs": {song.name: {"sha256": song.sha256, "split": song.split} for song in songs},
        "fonts": [{"sha256": font.sha256, "splits": list(font.splits)} for font in fonts],
        "own": [{"sha256": track.sha256, "split": track.split} for track in own],
    }
    training = {"settings": {"seed": 7}}
    return {"training": training, "material": material, "before": before}


def test_two_networks_become_four():
    four = likeness({"vocals": 1, "accompaniment": 2})
    assert tuple(four) == STEMS
    assert list(four.values()) == [1, 2, 2, 2]


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("what", ["songs", "fonts", "own"])
@pytest.mark.parametrize("runs_ago", [1, 2])
def test_what_learnt_from_something_held_out_is_refused(split, what, runs_ago):
    learnt = {"songs": [Heard("song")], "fonts": [Heard("font")], "own": [Heard("track")]}
    before = card(**learnt)
    if runs_ago == 2:
        before = card([], [], before=before)
    begun = Start("4stems-stemd", {}, before)
    refuse_heard(begun, SEED, **learnt)
    held_out = learnt | {what: [replace(learnt[what][0], split=split)]}
    said = (
        rf"4stems-stemd has learnt from of {learnt[what][0].sha256}, .* held out: .*--start 2stems"
    )
    with pytest.raises(TrainingError, match=said):
        refuse_heard(begun, SEED, **held_out)


def test_what_was_held_out_before_may_be_held_out_again():
    same = {"songs": [Heard("s", "test")], "fonts": [Heard("f", "test")], "own": []}
    refuse_heard(Start("4stems-stemd", {}, card(**same)), SEED, **same)


ALL = tuple(Song(f"p/{n}", digit * 64, b"") for n, digit in enumerate("0f2"))
"""One for each split."""
PLAYERS = (
    replace(FONTS[0], name="learnt", splits=("train", "validation")),
    replace(FONTS[0], name="tested", splits=("test",)),
)


def rendered(without=()):
    """The tracks of all songs but some."""
    return [
        Track("file", song.split, font.name, song.name, stem, 1.0, "0")
        for song in ALL
        for font in PLAYERS
        for stem in STEMS
        if song.split in font.splits and (song.name, stem) not in without
    ]


def test_material_of_the_songs_and_fonts_of_now_is_taken():
    assert {song.split for song in ALL} == {"train", "validation", "test"}
    mine = Track("file", "test", OWN, "of my own", "drums", 1.0, "0")
    refuse_unlike([*rendered(), mine], ALL, PLAYERS)


@pytest.mark.parametrize(
    ("songs", "fonts", "said"),
    [
        (ALL[1:], PLAYERS, "other songs .*: p/0, for .*, is of before"),
        ((*ALL, Song("p/new", "f" * 64, b"")), PLAYERS, "other songs .*: p/new, .* is missing"),
        ((replace(ALL[0], sha256="f" * 64), *ALL[1:]), PLAYERS, "other songs .*: p/0, for "),
        (ALL, PLAYERS[:1], "other fonts .*: tested, for test, is of before"),
    ],
)
def test_material_of_other_songs_or_fonts_is_refused(songs, fonts, said):
    with pytest.raises(TrainingError, match=rf"{said}.*ARGS=material"):
        refuse_unlike(rendered(), songs, fonts)


def test_a_font_may_play_in_no_song():
    refuse_unlike(rendered(), ALL, (*PLAYERS, replace(FONTS[0], name="silent")))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("stem", STEMS[1:])
def test_each_split_has_all_that_is_learnt(split, stem):
    (song,) = (song for song in ALL if song.split == split)
    with pytest.raises(TrainingError, match=f"no {stem} for the split '{split}'"):
        refuse_unlike(rendered({(song.name, stem)}), ALL, PLAYERS)


def test_the_mixtures_of_a_run_before_are_refused():
    before = card([], [], before=card([], []))
    before["before"]["training"]["settings"]["seed"] = 6
    with pytest.raises(
        TrainingError, match=r"has heard the mixtures of the seeds 6, 7, and 7 is .*--seed.*bundle"
    ):
        refuse_heard(Start("4stems-stemd", {}, before), 7, [], [], [])


def test_who_has_learnt_nothing_may_learn_anything():
    refuse_heard(Start("2stems", {}), 7, [Heard("song", "test")], [], [])


def test_the_set_that_comes_along_tells_what_it_has_learnt():
    begun = bundled_start("4stems-stemd")
    assert tuple(begun.networks) == STEMS
    font = next(iter(begun.before["material"]["fonts"]))
    song = next(s for s in begun.before["material"]["songs"].values() if s["split"] == "train")
    for learnt in (font["sha256"], song["sha256"]):
        with pytest.raises(TrainingError, match="held out"):
            refuse_heard(begun, SEED, [Heard(learnt, "test")], [], [])


@pytest.fixture
def damaged(tmp_path):
    """The bundled sets in a folder of their own, to have their card damaged."""
    for name in ("2stems", "4stems-stemd"):
        folder = bundled(name).folder
        (tmp_path / name).mkdir()
        for file in folder.iterdir():
            (tmp_path / name / file.name).symlink_to(file)
    path = tmp_path / "4stems-stemd" / "card.json"
    told = json.loads(path.read_text())
    path.unlink()

    def begin(text):
        if text is not None:
            path.write_text(text)
        return bundled_start("4stems-stemd", tmp_path)

    begin.told = told
    return begin


@pytest.mark.parametrize("text", [None, "", "{}", "[]", "null", '"x"', '{"material": {}}'])
def test_a_card_that_does_not_tell_is_refused(damaged, text):
    with pytest.raises(TrainingError, match=r"card.json does not tell what 4stems-stemd .*--start"):
        damaged(text)


@pytest.mark.parametrize("part", ["training", "material"])
def test_a_card_without_one_of_its_parts_is_refused(damaged, part):
    del damaged.told[part]
    with pytest.raises(TrainingError, match=rf"card.json does not tell .*{part}.*--start"):
        damaged(json.dumps(damaged.told))


@pytest.mark.parametrize("missing", ["2stems", "4stems-stemd"])
def test_a_set_that_is_missing_is_told_and_where_there_is_one(damaged, tmp_path, missing):
    (tmp_path / missing / "manifest.json").unlink()
    said = rf"{missing}/manifest.json.*; bring .*{missing} back \(.*tflite_models/{missing}\), .*-o"
    with pytest.raises(ModelError, match=said):
        damaged("{}")


def test_vocals_that_are_missing_are_those_of_two_stems(damaged, tmp_path):
    (tmp_path / "2stems" / "vocals.tflite").unlink()
    with pytest.raises(
        ModelError, match=r"2stems/vocals.tflite: No such file.*bring .*2stems back"
    ):
        damaged("{}")


def test_the_card_of_other_networks_is_refused(damaged):
    damaged.told["material"]["songs"].popitem()
    with pytest.raises(TrainingError, match=r"card.json is not that of the networks beside it"):
        damaged(json.dumps(damaged.told))


def test_what_the_bundle_writes_of_its_material_is_what_is_looked_for(monkeypatch, tmp_path):
    """The writer of the card and its reader have the same words for everything."""
    from research.training import bundle

    monkeypatch.setattr(bundle, "version", lambda _: "1")
    monkeypatch.setattr(bundle, "programs", lambda: "voices 1")
    monkeypatch.setattr(type(FONTS[0]), "made_by", ("FluidSynth 2",))
    font = replace(FONTS[0])
    font.__dict__["sha256"] = "f" * 64
    monkeypatch.setattr(bundle, "FONTS", (font,))
    song = Song("p/song", "3" * 64, b"")
    track = Track("own/a.flac", "train", "own", "mine", "bass", 1.0, "a" * 64)
    played = replace(track, player=font.name)
    material = bundle._material([song], [track, played])
    assert start._learnt(material) == {song.sha256, font.sha256, track.sha256}
    assert material["renderers"] == ["FluidSynth 2", "voices 1"]
    assert bundle._material([song], [track])["fonts"] == []
