"""How far light networks are from full ones, and what the command says where it cannot go on."""

import json

import pytest

from research.training import checkpoints, light_curve, light_sets
from research.training.errors import tell
from research.training.learner import CHECKPOINT
from research.training.light_curve import WAYS, gaps, known, scores_of
from research.training.network import weights_of


@pytest.fixture(autouse=True)
def scored(monkeypatch):
    """The names of the mixes that were scored, each with 1 dB more than the one before."""
    asked = []

    def score(mix, graphs, way):
        assert all(path.exists() for path in graphs.values())
        asked.append(mix.name)
        return float(len(asked))

    monkeypatch.setattr(light_curve, "score", score)
    return asked


def test_only_the_half_that_decides_is_asked_where_nothing_else_is_said(tmp_path, networks, scored):
    scores = scores_of(networks, tmp_path)
    assert set(scored) == {mix.name for mix in known("decide")}
    assert not set(scored) & {mix.name for mix in known("report")}
    assert set(scores) == set(WAYS)


def test_networks_are_scored_once(tmp_path, networks, scored):
    scores = scores_of(networks, tmp_path)
    count = len(scored)
    assert scores_of(networks, tmp_path) == scores
    assert len(scored) == count
    assert not list(tmp_path.glob("*.tflite"))


def test_the_gap_is_what_the_light_ones_lack():
    full = {"live": {"a": 9.0, "b": 8.0, "c": 7.0}}
    light = {"live": {"a": 8.5, "b": 8.0, "c": 5.5}}
    assert gaps(full, light) == {"live": {"mean": 0.67, "worst": 1.5}}


def test_a_run_is_measured_while_it_goes_on(tmp_path, networks, monkeypatch):
    monkeypatch.setattr(light_sets, "read_all", lambda _: networks)
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    average = {stem: weights_of(unet) for stem, unet in networks.items()}
    checkpoints.save(run / CHECKPOINT, {"step": 7, "average": average})
    for _ in range(2):
        light_sets.measure(tmp_path, run)
    points = [json.loads(line) for line in (run / light_sets.CURVE).read_text().splitlines()]
    assert [point["step"] for point in points] == [7, 7]
    assert points[0]["live"] == points[0]["balanced"] == {"mean": 0.0, "worst": 0.0}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["teach"], "free.json"), (["measure"], "train first"), (["teach", "--steps", "0"], "")],
)
def test_what_cannot_be_done_is_one_clear_line(tmp_path, monkeypatch, arguments, said):
    monkeypatch.setattr("sys.argv", ["light", *arguments, "--folder", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        tell("light", light_sets.main)
    assert said in str(ended.value.code)
