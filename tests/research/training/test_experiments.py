"""What is compared, what the table says, and when it may be written into the documents."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from research.training import experiments
from research.training.distil import LESSONS, SETTINGS
from research.training.evaluate import Way
from research.training.experiments import WAYS, Comparison, table
from research.training.tracks import OWN
from stemd.dsp.scheme import Scheme

WAY = Way(Scheme(T=64, B=3, A=0, mirror=8))


def test_each_lesson_is_measured_in_ways_of_its_own():
    assert set(WAYS) == set(LESSONS)
    for lesson, ways in WAYS.items():
        assert len(set(ways)) == len(ways)
        precisions = {way.precision for way in ways}
        assert precisions == ({"fp32", "int8"} if lesson == "int8" else {"fp32"})


def test_the_table_tells_the_mean_and_the_extremes_of_what_is_gained():
    mixes = np.array([[7.0, 5.0, 3.0], [7.5, 4.75, 3.5]])
    row = table([WAY], [Comparison(mixes, (9.96, 9.84))]).splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        *("64, 3, 0, 8", "fp32", "5.00", "5.25"),
        *("+0.25", "-0.25", "+0.50", "10.0", "9.8"),
    ]


@pytest.mark.parametrize(
    ("wishes", "player", "written"),
    [
        ([], "font", True),
        ([], OWN, False),
        (["--songs", "3"], "font", False),
        (["--steps", "5"], "font", False),
        (["--run", "mine"], "font", False),
    ],
)
def test_documents_get_only_what_was_taught_and_measured_as_usual(
    tmp_path, monkeypatch, tracks, wishes, player, written
):
    told, taught = [], []

    def distil(folder, run, heard, settings, teacher, lesson, mixing, say):
        taught.append((settings, lesson, mixing.recorded, run.name))

    compared = [Comparison(np.zeros((2, 10)), (0, 0)) for _ in WAYS["live"]]
    heard = [replace(track, player=player) for track in tracks]
    monkeypatch.setattr(experiments, "read_tracks", lambda _: heard)
    monkeypatch.setattr(experiments, "record_all", lambda _: [])
    monkeypatch.setattr(experiments, "read_all", lambda _: {})
    monkeypatch.setattr(experiments, "distil", distil)
    monkeypatch.setattr(experiments, "taught", lambda _: {})
    monkeypatch.setattr(experiments, "compare", lambda *_: compared)
    monkeypatch.setattr(experiments, "replace_section", lambda *arguments: told.append(arguments))
    arguments = ["experiments", "live", "--folder", str(tmp_path), *wishes]
    monkeypatch.setattr(sys, "argv", arguments)
    experiments.main()
    ((settings, lesson, recorded, name),) = taught
    assert name == ("mine" if "--run" in wishes else "live")
    assert (settings == SETTINGS) == ("--steps" not in wishes)
    assert lesson == LESSONS["live"]
    assert recorded > 0
    assert bool(told) == written


def test_who_is_compared_with_himself_gains_nothing(networks, monkeypatch):
    def score(scheme, recipe, graphs):
        x = np.random.default_rng(recipe).standard_normal((2, 44_100)).astype(np.float32)
        return float(np.square(experiments._vocals(x, graphs, scheme)).mean())

    def on_every_mix(work, jobs, recipes, count):
        return [[work(*subject) for subject in ((s, r, g) for r in recipes)] for s, g in jobs]

    song = 0.1 * np.random.default_rng(1).standard_normal((2, 44_100)).astype(np.float32)
    monkeypatch.setattr(experiments, "build_mixes", lambda _: None)
    monkeypatch.setattr(experiments, "read_song", lambda _: song)
    monkeypatch.setattr(experiments, "RECIPES", [1, 2, 3])
    monkeypatch.setattr(experiments, "score_scheme", score)
    monkeypatch.setattr(experiments, "on_every_mix", on_every_mix)
    other = dict.fromkeys(networks, networks["vocals"])
    for student, is_same in ((networks, True), (other, False)):
        (compared,) = experiments.compare(networks, student, [WAY], 2)
        assert compared.mixes.shape == (2, 2)
        assert (compared.mixes[0] == compared.mixes[1]).all() == is_same
        assert (compared.song[0] == compared.song[1]) == is_same


def test_more_songs_than_there_are_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["experiments", "live", "--songs", "11"])
    with pytest.raises(SystemExit):
        experiments.main()
    assert "--songs" in capsys.readouterr().err
