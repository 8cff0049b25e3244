"""What is compared with what, and that the best masks are."""

from dataclasses import replace

import mido
import numpy as np
import pytest

from research.quality import sliding
from research.quality.measures import sdr_db
from research.training import ceiling
from research.training.ceiling import best, chosen, mixes_of, shares, table
from research.training.fonts import FONTS
from research.training.heldout import Mix
from research.training.songs import PARTS, Note, Song
from research.training.tracks import STEMS
from stemd.dsp.scheme import CHANNELS, SPLEETER

HOP_LENGTH = SPLEETER.hop_length

SONGS = [
    Song("p/tested", "0" * 64, b""),
    Song("p/curve", "2" * 64, b""),
    *(Song(f"p/{n}", f"{n:064x}", b"") for n in range(0x1F, 0x4F0, 16)),
    Song("mma/tested", "1" * 64, b""),
    Song("q/learnt", "0" * 63 + "3", b""),
    Song("mma/made", "e" * 64, b"", is_made_up=True),
]


def test_songs_learnt_from_are_like_those_held_out():
    assert [song.name for song in chosen(SONGS, "test")] == ["p/tested"]
    learnt = chosen(SONGS, "train")
    assert len(learnt) == ceiling.LEARNT
    assert {(song.package, song.split) for song in learnt} == {("p", "train")}
    assert chosen(SONGS[::-1], "train") == learnt


def test_both_are_heard_through_the_font_that_is_held_out(monkeypatch, tmp_path, tracks):
    asked = []

    def render(performances, folder):
        asked.extend(performances)
        return tracks

    monkeypatch.setattr(ceiling, "render", render)
    monkeypatch.setattr(ceiling, "build_mixes", lambda _, given: iter(given))
    given = mixes_of((SONGS[0], SONGS[2]), tmp_path)
    assert given == [replace(track, split="test") for track in tracks]
    assert [each.song.name for each in asked] == ["p/tested"] * 3 + ["p/31"] * 3
    assert {each.font.splits for each in asked} == {("test",)}
    written = {part: [Note(0, mido.Message("note_on", note=40))] for part in PARTS}
    monkeypatch.setattr(Song, "parts", lambda _: written)
    assert [each.notes() for each in asked] == [written[each.part] for each in asked]
    assert ("test",) in {font.splits for font in FONTS}


def noise(seed):
    shape = (len(STEMS), CHANNELS, 40 * HOP_LENGTH)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_stems_that_share_no_bin_are_parted_by_the_best_masks():
    n = np.arange(40 * HOP_LENGTH)
    tones = [np.sin(n * step) for step in (0.1, 0.4, 0.9, 1.6)]
    stems = np.stack([np.stack([tone, tone]) for tone in tones]).astype(np.float32)
    assert all(score > 30 for score in best(Mix("m", stems)).values())


def test_masks_that_know_less_are_worse():
    stems, others = noise(1), noise(2)
    scores = best(Mix("m", stems))
    spectra = np.stack([sliding.analyse(stem) for stem in stems])
    for wrong in (0, 0.5):  # true powers, which know no phases, and such that are not true
        guess = np.square(np.abs([sliding.analyse(each) for each in stems + wrong * others]))
        masked = spectra.sum(0) * guess / guess.sum(0)
        for stem, truth, spectrum in zip(STEMS, stems, masked, strict=True):
            estimate = sliding.synthesise(spectrum)
            assert scores[stem] > sdr_db(truth[:, : estimate.shape[1]], estimate) + 0.5


def test_shares_are_the_nearest_that_there_are():
    dice = np.random.default_rng(1)
    wishes = dice.normal(0.25, 1, (4, 200)).astype(np.float32)
    found = shares(wishes)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    distance = np.square(found - wishes).sum(0)
    for _ in range(200):
        other = 0.9 * found + 0.1 * dice.dirichlet(np.ones(4), 200).T
        assert (np.square(other - wishes).sum(0) >= distance - 1e-4).all()
    fit = dice.dirichlet(np.ones(4), 200).T.astype(np.float32)
    np.testing.assert_allclose(shares(fit), fit, atol=1e-5)


def test_a_stem_that_is_silent_does_no_harm():
    stems = noise(1)
    stems[0] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = best(Mix("m", stems))
    assert all(np.isfinite(scores[stem]) for stem in STEMS[1:])


def test_the_table_tells_means_and_their_errors():
    scores = {("held out", "the best"): [dict.fromkeys(STEMS, db) for db in (1.0, 3.0)]}
    assert table(scores).splitlines()[2] == f"| 2 held out | the best |{' 2.00 ± 1.00 |' * 4}"


def test_both_groups_are_measured_in_the_folder_that_is_named(monkeypatch, tmp_path):
    asked, written = [], {}

    def mix(songs, folder):
        asked.append((len(songs), folder))
        return [Mix(f"{n}", noise(n)) for n in range(2)]

    def score_all(mixes, plain, ways):
        return [[dict.fromkeys(STEMS, 1.0) for _ in mixes] for _ in ways]

    monkeypatch.setattr(ceiling, "all_songs", lambda: SONGS)
    monkeypatch.setattr(ceiling, "mixes_of", mix)
    monkeypatch.setattr(ceiling, "score_all", score_all)
    monkeypatch.setattr(
        ceiling, "replace_section", lambda _, name, text: written.update({name: text})
    )
    monkeypatch.setattr("sys.argv", ["ceiling", "--folder", str(tmp_path)])
    ceiling.main()
    assert asked == [(1, tmp_path), (ceiling.LEARNT, tmp_path)]
    rows = [row.split(" | ")[:2] for row in written["ceiling"].splitlines()[2:]]
    assert rows == [
        [f"| 2 {songs}", masks]
        for songs in ceiling.GROUPS
        for masks in ("the best", "4stems-stemd")
    ]


@pytest.mark.parametrize("split", ceiling.GROUPS.values())
def test_each_group_has_songs(split):
    assert chosen(SONGS, split)
