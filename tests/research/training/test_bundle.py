"""From a run to a set that the program takes, with figures and a card that belong to it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from research.material.mixes import RECIPES
from research.material.voices import Singer
from research.training import bundle, card, checkpoints, heldout
from research.training import train as training
from research.training.errors import TrainingError
from research.training.evaluate import Way, compiled, means, score, score_recording
from research.training.heldout import START_S, Mix, Recording, build_mixes
from research.training.learner import CHECKPOINT, Settings
from research.training.start import bundled, bundled_start, read_all
from research.training.tracks import STEMS, digest_of
from research.training.train import train
from research.training.windows import Window
from stemd.dsp.scheme import Scheme
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.files import locked
from stemd.tflite_models.store.library import Library

FRAMES = 44_100


def learn(tmp_path, name, tracks, start):
    """A run of two steps."""
    folder = tmp_path / name
    settings = Settings(steps=2, windows=((Window(64), 1),))
    train(tmp_path, folder, tracks, settings, start, every=1, say=lambda _: None)
    return folder


@pytest.fixture
def run(tmp_path, tracks, out_dir, monkeypatch):
    monkeypatch.setattr(training, "VALIDATION_BATCHES", 1)
    return learn(tmp_path, "run", tracks, bundled_start(folder=out_dir))


@pytest.fixture
def build(run, tmp_path, out_dir, tracks, monkeypatch):
    """Bundles the run, measured on a second of noise."""
    rng = np.random.default_rng(1)
    mix = Mix("p/song", (0.1 * rng.standard_normal((4, 2, FRAMES))).astype(np.float32))
    monkeypatch.setattr(bundle, "build_mixes", lambda *_: [mix])
    monkeypatch.setattr(bundle, "recordings", lambda: [])
    monkeypatch.setattr(bundle, "_material", lambda *_: {"songs": {}, "fonts": []})

    def build(material=tracks, of=run):
        return bundle.build(of, tmp_path, out_dir, material, [])

    return build


@pytest.mark.processes
def test_a_run_becomes_a_set_with_its_card(build, out_dir, tmp_path):
    manifest = build()
    found = Library(tmp_path / "data", tmp_path / "cache", out_dir).find("4stems-stemd")
    assert found.manifest == manifest
    assert found.stems == STEMS
    assert found.paths["vocals"] == out_dir / "2stems" / "vocals.tflite"
    told = card.read(out_dir / "4stems-stemd" / "card.json")
    assert told["training"]["steps"] == manifest.training.steps == 2
    assert [point["step"] for point in told["curve"]] == [0, 1, 2]
    assert told["figures"]["mean"]["offline"]["4stems-stemd"] == manifest.figures.sdr_db
    assert sorted(path.name for path in out_dir.iterdir()) == ["2stems", "4stems-stemd"]


def test_the_same_run_gives_the_same_set(build, out_dir):
    first = build()
    assert build() == first
    assert (
        "4stems-stemd before"
        not in card.read(out_dir / "4stems-stemd" / "card.json")["figures"]["mean"]
    )
    assert sorted(path.name for path in out_dir.iterdir()) == ["2stems", "4stems-stemd"]


def test_a_set_that_learnt_on_tells_what_it_had_learnt_before(build, out_dir, tmp_path, tracks):
    build()
    start = bundled_start("4stems-stemd", out_dir)
    replaced = card.read(out_dir / "4stems-stemd" / "card.json")["figures"]["mean"]
    manifest = build(of=learn(tmp_path, "on", tracks, start))
    told = card.read(out_dir / "4stems-stemd" / "card.json")
    assert told["training"]["start"] == "4stems-stemd"
    assert told["before"] == start.before
    assert start.before["training"] == {**told["training"], "start": "2stems"}
    assert "figures" not in start.before
    assert [told["training"]["steps"], manifest.training.steps] == [2, 4]
    drums = read_all(bundled("4stems-stemd", out_dir))["drums"].tensors()["head/kernel"]
    before = start.networks["drums"].tensors()["head/kernel"]
    assert 0 < np.abs(drums - before).max() < 0.01
    figures = told["figures"]["mean"]
    for way, mean in figures.items():
        assert mean["4stems-stemd before"] == replaced[way]["4stems-stemd"]
    assert "| 4stems-stemd before |" in card._figures(figures)
    build(of=tmp_path / "on")
    assert card.read(out_dir / "4stems-stemd" / "card.json")["figures"] == told["figures"]


@pytest.mark.parametrize("damaged", ["", "{", "{}", "[]", "null"])
def test_the_same_run_mends_its_card(build, out_dir, damaged):
    build()
    path = out_dir / "4stems-stemd" / "card.json"
    whole = path.read_text()
    path.write_text(damaged)
    build()
    assert path.read_text() == whole


def test_a_set_that_cannot_be_measured_leaves_the_old_one(build, out_dir, monkeypatch):
    build()
    before = {path.name: path.read_bytes() for path in (out_dir / "4stems-stemd").iterdir()}

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(bundle, "measure", fail)
    with pytest.raises(KeyboardInterrupt):
        build()
    assert {path.name: path.read_bytes() for path in (out_dir / "4stems-stemd").iterdir()} == before
    assert sorted(path.name for path in out_dir.iterdir()) == ["2stems", "4stems-stemd"]


def test_other_material_than_was_heard_is_refused(build, tracks, out_dir):
    with pytest.raises(TrainingError, match=r"has heard other material .*--run"):
        build(tracks[1:])
    assert not (out_dir / "4stems-stemd").exists()
    assert digest_of(tracks) != digest_of(tracks[1:])


def test_a_run_that_has_not_ended_is_refused(build, run, out_dir):
    state = checkpoints.load(run / CHECKPOINT)
    checkpoints.save(run / CHECKPOINT, {**state, "step": 1})
    with pytest.raises(TrainingError, match=r"has taken 1 of its 2 steps: let it end first"):
        build()
    assert not (out_dir / "4stems-stemd").exists()


def test_a_run_of_an_older_version_is_refused(build, run):
    state = checkpoints.load(run / CHECKPOINT)
    parts = ("start", "vocals", "history", "loss")
    for missing in parts:
        about = {name: of for name, of in state["about"].items() if name != missing}
        checkpoints.save(run / CHECKPOINT, {**state, "about": about})
        with pytest.raises(TrainingError, match=r"is of an older version, .*--run"):
            build()


def test_other_vocals_than_it_learnt_beside_are_refused(build, out_dir, monkeypatch):
    others = {"vocals": read_all(bundled("2stems", out_dir))["accompaniment"]}
    monkeypatch.setattr(bundle, "read_all", lambda _: others)
    with pytest.raises(
        TrainingError, match=r"learnt beside other vocals .*: put those there \(-o\)"
    ):
        build()
    assert not (out_dir / "4stems-stemd").exists()


def test_a_set_that_cannot_be_put_leaves_the_old_one(build, out_dir, monkeypatch):
    build()
    before = {path.name: path.read_bytes() for path in (out_dir / "4stems-stemd").iterdir()}
    rename = Path.rename

    def broken(path, target):
        if Path(target) == out_dir / "4stems-stemd" and path.name != "before":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(KeyboardInterrupt):
        build()
    assert {path.name: path.read_bytes() for path in (out_dir / "4stems-stemd").iterdir()} == before


def test_what_a_killed_program_left_is_tidied_up(build, out_dir):
    build()
    made = {path.name: path.read_bytes() for path in (out_dir / "4stems-stemd").iterdir()}
    left = out_dir / bundle.WORKPLACE
    left.mkdir()
    (out_dir / "4stems-stemd").rename(left / "before")  # between the old and the new set
    (left / "4stems-stemd").mkdir()
    with pytest.raises(TrainingError, match=r"has heard other material"):
        build([])
    build()
    assert {path.name: path.read_bytes() for path in (out_dir / "4stems-stemd").iterdir()} == made
    assert sorted(path.name for path in out_dir.iterdir()) == ["2stems", "4stems-stemd"]


def test_nobody_else_writes_there_meanwhile(build, out_dir):
    with locked(out_dir, wait=False), pytest.raises(ModelError, match=r"is at work there; wait"):
        build()
    assert [path.name for path in out_dir.iterdir()] == ["2stems"]


def test_what_was_replaced_has_no_figures_of_mixtures_that_are_gone(build, out_dir):
    build()
    path = out_dir / "4stems-stemd" / "card.json"
    told = card.read(path)
    told["figures"]["mixtures"] = {"p/gone": {"4stems-stemd before": {"drums": 1.0}}}
    path.write_text(json.dumps(told))
    build()
    assert set(card.read(path)["figures"]["mixtures"]) == {"p/song"}


def test_an_installed_set_however_damaged_is_not_looked_at(tmp_path, monkeypatch):
    damaged = tmp_path / "stemd" / "models" / "2stems"
    damaged.mkdir(parents=True)
    (damaged / "manifest.json").write_text("no manifest")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert bundled("2stems").stems == ("vocals", "accompaniment")


def write_song(folder, tracks, stem, sung="vocals", song="one"):
    """Give the tracks of one song that is for testing but one; one stem is silent."""
    tested = [replace(t, split="test") for t in tracks if t.song == song and t.stem != sung]
    for number, track in enumerate(tested):
        x = np.random.default_rng(number).uniform(-0.5, 0.5, (45 * 44_100, 2))
        soundfile.write(folder / track.file, 0 * x if track.stem == stem else x, 44_100)
    return tested


def test_mixes_sum_up_and_their_stems_are_equally_loud(tmp_path, tracks, monkeypatch):
    monkeypatch.setattr(
        "research.training.heldout._performance", lambda _: np.ones(30 * 44_100, np.float32)
    )
    (mix,) = build_mixes(tmp_path, write_song(tmp_path, tracks, "bass"))
    assert mix.name == "one"
    loudness = np.sqrt(np.square(mix.stems).mean((1, 2)))
    np.testing.assert_allclose(loudness[[0, 1, 3]], loudness[0], rtol=1e-4)
    assert loudness[2] == 0
    np.testing.assert_allclose(mix.mixture, mix.stems.sum(0), atol=1e-6)
    assert np.abs(mix.mixture).max() == pytest.approx(0.9, abs=1e-3)


def test_half_a_minute_is_measured_from_the_same_place_of_each_song(tmp_path, tracks, monkeypatch):
    monkeypatch.setattr(
        "research.training.heldout._performance", lambda _: np.ones(30 * 44_100, np.float32)
    )
    (drums, *_) = tested = write_song(tmp_path, tracks, "bass")
    beats = np.zeros((50 * 44_100, 2))
    beats[START_S * 44_100] = 0.5
    soundfile.write(tmp_path / drums.file, beats, 44_100)
    (mix,) = build_mixes(tmp_path, tested)
    assert mix.mixture.shape == (2, 30 * 44_100)
    assert mix.stems[STEMS.index("drums"), 0].argmax() == 0


def test_the_voices_come_each_in_its_turn(tmp_path, tracks, monkeypatch):
    sung = []

    def perform(voice):
        sung.append(voice)
        return np.ones(30 * 44_100, np.float32)

    monkeypatch.setattr(heldout, "_performance", perform)
    tested = [t for song in ("one", "two") for t in write_song(tmp_path, tracks, "bass", song=song)]
    assert [mix.name for mix in build_mixes(tmp_path, tested)] == ["one", "two"]
    assert sung == [recipe.voice for recipe in RECIPES[:2]]


def test_a_song_with_a_voice_keeps_it(tmp_path, tracks, monkeypatch):
    monkeypatch.setattr(
        "research.training.heldout._performance", lambda _: pytest.fail("has a voice")
    )
    (mix,) = build_mixes(tmp_path, write_song(tmp_path, tracks, "bass", sung=None))
    assert mix.stems[0].any()


def test_each_singer_performs_a_song_of_its_own(monkeypatch):
    monkeypatch.setattr(Singer, "perform", lambda it: np.full(10, len(it.score), np.float32))
    singers = [Singer(score, 80) for score in ("la:A4:1", "la:A4:1 la:B4:1")]
    assert str(singers[0]) == str(singers[1])
    first, second = (heldout._performance(singer) for singer in singers)
    assert (first == 7).all()
    assert (second == 15).all()


def test_a_song_too_short_to_be_measured_is_said(tmp_path, tracks):
    tested = write_song(tmp_path, tracks, "bass")
    soundfile.write(tmp_path / tested[0].file, np.zeros((START_S * 44_100, 2)), 44_100)
    with pytest.raises(TrainingError, match=r"drums.flac ends before 15 s, .*: leave it out"):
        list(build_mixes(tmp_path, tested))


def test_what_is_silent_has_no_figure(out_dir):
    stems = np.random.default_rng(1).standard_normal((4, 2, FRAMES)).astype(np.float32)
    stems[1:] = 0
    paths = bundled("2stems", out_dir).paths
    with compiled(paths, [Way(Scheme(T=64, B=4, A=8))]) as (graphs,):
        scores = score(Mix("m", stems), graphs, Scheme(T=64, B=4, A=8))
    assert np.isfinite(scores["vocals"])
    assert np.isnan(scores["accompaniment"])
    assert means([scores, {"vocals": 1.0, "accompaniment": 2.0}])["accompaniment"] == 2.0


def test_a_recording_is_scored_by_what_is_no_voice_and_by_its_guitar(out_dir, monkeypatch):
    rest, guitar = np.random.default_rng(1).standard_normal((2, 2, FRAMES)).astype(np.float32)
    to_the_singer = 0.1 * guitar
    estimates = np.stack([to_the_singer, rest, 0.9 * guitar])
    monkeypatch.setattr("research.training.evaluate.separate", lambda *_: estimates)
    scores = score_recording(Recording("r", rest, guitar), bundled("2stems", out_dir).paths)
    assert scores["guitar"] == pytest.approx(20, abs=0.1)
    assert scores["instruments"] == pytest.approx(23, abs=0.1)


def test_a_song_is_named_without_its_folders():
    assert card._short("freedoom/musics/dm_01.mid") == "freedoom/dm_01.mid"
    assert card._short("mine") == "mine"


def test_the_card_says_nothing_where_there_is_no_figure():
    assert json.loads(json.dumps(bundle._rounded({"drums": float("nan"), "bass": 1.234}))) == {
        "drums": None,
        "bass": 1.23,
    }
