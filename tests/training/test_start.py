"""What a run begins with, and that it has not heard what it is measured by."""

from dataclasses import dataclass

import pytest

from training.errors import TrainingError
from training.start import Start, likeness, refuse_held_out
from training.tracks import STEMS


@dataclass(frozen=True)
class Heard:
    """A song or a font, as far as it matters here."""

    sha256: str
    split: str = "train"

    @property
    def name(self):
        return f"of {self.sha256}"

    file = name

    @property
    def splits(self):
        return (self.split,)


def card(songs, fonts, before=None):
    material = {
        "songs": {song.name: {"sha256": song.sha256, "split": song.split} for song in songs},
        "fonts": [{"sha256": font.sha256, "splits": list(font.splits)} for font in fonts],
    }
    return {"material": material, "before": before}


def test_two_networks_become_four():
    four = likeness({"vocals": 1, "accompaniment": 2})
    assert tuple(four) == STEMS
    assert list(four.values()) == [1, 2, 2, 2]


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("what", ["songs", "fonts"])
@pytest.mark.parametrize("runs_ago", [1, 2])
def test_what_learnt_from_something_held_out_is_refused(split, what, runs_ago):
    learnt = {"songs": [Heard("song")], "fonts": [Heard("font")]}
    before = card(**learnt)
    if runs_ago == 2:
        before = card([], [], before)
    start = Start("4stems", {}, before)
    refuse_held_out(start, **learnt)
    held_out = learnt | {what: [Heard(learnt[what][0].sha256, split)]}
    said = rf"4stems has learnt from of {what[:-1]}, which is held out: .*--start 2stems"
    with pytest.raises(TrainingError, match=said):
        refuse_held_out(start, **held_out)


def test_what_was_held_out_before_may_be_held_out_again():
    same = {"songs": [Heard("song", "test")], "fonts": [Heard("font", "test")]}
    refuse_held_out(Start("4stems", {}, card(**same)), **same)


def test_who_has_learnt_nothing_may_learn_anything():
    refuse_held_out(Start("2stems", {}), [Heard("song", "test")], [])
