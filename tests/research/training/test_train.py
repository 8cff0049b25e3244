"""A run that is interrupted goes on as if it had not been."""

import fcntl
import json
from dataclasses import replace
from functools import partial
from itertools import groupby

import numpy as np
import pytest
import torch

from research.training import checkpoints, learner, network
from research.training import train as training
from research.training.errors import TrainingError
from research.training.learner import CURVE, LOCK, Learner, Settings, _all
from research.training.network import unet_of
from research.training.start import Start, likeness
from research.training.train import FLOOR, LEARNING, SOFTEST, loss_against, loss_of, train
from research.training.windows import Window

STEPS = 4
SETTINGS = Settings(steps=STEPS, windows=((Window(64), 2),), rate=1e-2)


@pytest.fixture
def run(tmp_path, tracks, networks, monkeypatch):
    """Train in a folder, for so many steps before something breaks."""
    monkeypatch.setattr(training, "VALIDATION_BATCHES", 1)
    learn = Learner.learn

    def interrupted(learner, *batch):
        if learner.step == interrupted.at:
            raise KeyboardInterrupt
        return learn(learner, *batch)

    monkeypatch.setattr(Learner, "learn", interrupted)

    def go(name, until=None, settings=SETTINGS):
        interrupted.at = until
        return train(
            tmp_path,
            tmp_path / name,
            tracks,
            settings,
            Start("2stems", likeness(networks)),
            every=2,
            say=lambda _: None,
        )

    return go


def in_bands():
    """The magnitudes of a mixture of four stems, each in a band of its own, and their loss."""
    bands = torch.eye(4).repeat_interleave(256, 1)[None, :, None, None, :]
    stems = torch.randn((2, 4, 2, 64, 1024), dtype=torch.complex64) * bands
    return stems.sum(1).abs(), partial(loss_against, stems, vocals=1)


def test_it_goes_on_where_it_was(run, tmp_path):
    whole = run("whole")
    for step in (0, 3):  # at once, and a step after a checkpoint
        with pytest.raises(KeyboardInterrupt):
            run("broken", until=step)
    resumed = run("broken")
    assert resumed.step == whole.step == STEPS
    for weights in ("weights", "average"):
        for stem in LEARNING:
            for name, weight in getattr(whole, weights)[stem].items():
                assert torch.equal(weight, getattr(resumed, weights)[stem][name]), (stem, name)
    assert resumed.curve == whole.curve
    assert [point["step"] for point in whole.curve] == [0, 2, 4]
    lines = (tmp_path / "broken" / CURVE).read_text().splitlines()
    assert [json.loads(line) for line in lines] == whole.curve


@pytest.mark.processes
def test_the_networks_learn_and_the_vocals_do_not(run, networks):
    done = run("run")
    vocals = unet_of("vocals", done.activations, done.fixed["vocals"]).tensors()
    for name, array in networks["vocals"].tensors().items():
        np.testing.assert_array_equal(vocals[name], array)
    drums, bass = (done.weights[stem]["head/kernel"] for stem in ("drums", "bass"))
    assert not torch.equal(drums, bass)


def test_no_two_jobs_share_what_gathers_their_gradients(tmp_path, networks, monkeypatch):
    asked = []

    def estimate(self, weights, magnitudes, graph, learning):
        asked.append(weights)
        return original(self, weights, magnitudes, graph, learning)

    original = Learner._estimate
    monkeypatch.setattr(Learner, "_estimate", estimate)
    learner = Learner(tmp_path, SETTINGS, likeness(networks), LEARNING, {})
    learner.learn(torch.ones(2, 2, 64, 1024), Window(64).graph, lambda x: x.square().mean())
    leaves = [weight for weight in _all(dict(enumerate(asked))) if weight.requires_grad]
    mine = _all(learner.weights)
    assert len(leaves) == len({id(leaf) for leaf in leaves}) == 2 * len(mine)
    assert {leaf.data_ptr() for leaf in leaves} == {weight.data_ptr() for weight in mine}


def test_the_halves_of_a_batch_learn_as_one(tmp_path, networks, monkeypatch):
    monkeypatch.setattr(Learner, "_descend", lambda _: None)
    learner = Learner(tmp_path, SETTINGS, likeness(networks), LEARNING, {})
    magnitudes, loss = in_bands()
    learner.learn(magnitudes, Window(64).graph, loss)
    gathered = [weight.grad for weight in _all(learner.weights)]
    for weight in _all(learner.weights):
        weight.grad = None
    networks = {**learner.fixed, **learner.weights}
    estimates = [
        network.estimate(each, learner.activations, magnitudes) for each in networks.values()
    ]
    loss(torch.stack(estimates, 1)).backward()
    for half, weight in zip(gathered, _all(learner.weights), strict=True):
        torch.testing.assert_close(half, weight.grad, rtol=1e-3, atol=1e-5)


def test_what_is_not_finite_is_not_learnt(tmp_path, networks):
    learner = Learner(tmp_path, SETTINGS, likeness(networks), LEARNING, {})
    before = [weight.detach().clone() for weight in _all(learner.weights)]
    magnitudes = torch.full((2, 2, 64, 1024), torch.inf)
    with pytest.raises(TrainingError, match=r"of step 0 .* is not finite: .*--rate"):
        learner.learn(magnitudes, Window(64).graph, lambda x: x.square().mean())
    assert learner.step == 0
    for weight, same in zip(_all(learner.weights), before, strict=True):
        assert torch.equal(weight, same)


@pytest.mark.parametrize("at", [3, 4, 5])
def test_who_is_told_while_measuring_goes_on_there(run, monkeypatch, at):
    whole = run("whole")
    calls = []

    def broken(*arguments):
        calls.append(arguments)
        if len(calls) == at:
            raise KeyboardInterrupt
        return validate(*arguments)

    validate = training.validate
    monkeypatch.setattr(training, "validate", broken)
    with pytest.raises(KeyboardInterrupt):
        run("broken")
    assert run("broken").curve == whole.curve


def test_a_run_made_longer_is_as_if_it_had_been_so_long_from_the_start(run):
    settings = replace(SETTINGS, steps=8)
    whole = run("whole", settings=settings)
    run("longer")
    longer = run("longer", settings=settings)
    assert longer.step == 8
    for stem in LEARNING:
        for name, weight in whole.average[stem].items():
            assert torch.equal(weight, longer.average[stem][name]), (stem, name)


def test_a_run_cannot_become_shorter_than_it_is(run):
    run("run")
    with pytest.raises(TrainingError, match=r"has taken 3 steps .*a run of 2 takes 1: .*--steps"):
        run("run", settings=replace(SETTINGS, steps=2))


def test_other_runs_are_refused(run, tracks, networks):
    run("run")
    with pytest.raises(TrainingError, match=r"holds a run with rate 0\.01, not 0\.0003; .*--run"):
        run("run", settings=replace(SETTINGS, rate=3e-4))
    rounded = replace(SETTINGS, windows=((Window(64, precision="int8"), 2),))
    with pytest.raises(TrainingError, match=r"holds a run with windows .*fp32.*, not .*int8.*"):
        run("run", settings=rounded)
    tracks.append(replace(tracks[0], song="three"))
    with pytest.raises(TrainingError, match=r"holds a run with other material; .*--run"):
        run("run")
    tracks.pop()
    networks["accompaniment"] = networks["vocals"]
    with pytest.raises(TrainingError, match=r"holds a run with other networks; .*--run"):
        run("run")


def test_each_turn_is_computed_as_its_window_says(run, monkeypatch):
    turns = ((Window(64), 1), (Window(64, A=4, rows=8, precision="mixed"), 1))
    computed = []

    def estimate(weights, activations, magnitudes, graph):
        computed.append(graph)
        return network.estimate(weights, activations, magnitudes, graph)

    monkeypatch.setattr(learner, "estimate", estimate)
    done = run("run", settings=replace(SETTINGS, windows=turns, steps=2))
    first, *turns_of, last = (graph for graph, _ in groupby(computed))
    whole, balanced = training.WHOLE.graph, training.BALANCED.graph
    assert balanced.precision == "mixed"
    assert [first, *turns_of, last] == [
        whole,
        balanced,
        *(w.graph for w, _ in turns),
        whole,
        balanced,
    ]
    for point in done.curve:
        assert point["balanced"].keys() == {"validation", "sdr_db"}


def test_two_programs_do_not_go_on_with_one_run(run, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run("run", until=3)
    with (tmp_path / "run" / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        with pytest.raises(TrainingError, match=r"another program goes on .*run: .*--run"):
            run("run")
    assert run("run").step == STEPS


def test_what_is_held_out_is_not_learnt_from(run, tracks, monkeypatch):
    heard = []

    def batches(material, tracks, *_):
        heard.extend(tracks)
        return iter(())

    monkeypatch.setattr(training, "batches", batches)
    tracks.append(replace(tracks[0], split="test"))
    run("run")
    assert heard
    assert {track.split for track in heard} == {"train"}


def test_the_loss_falls(tmp_path, networks, monkeypatch):
    monkeypatch.setattr(learner, "WARM_UP", 1)
    settings = replace(SETTINGS, steps=20)
    made = Learner(tmp_path, settings, likeness(networks), LEARNING, {})
    magnitudes, loss = in_bands()
    losses = [made.learn(magnitudes, Window(64).graph, loss) for _ in range(20)]
    assert losses[-1] < losses[0] - 0.05, losses


@pytest.mark.parametrize(
    ("content", "said"), [(None, "there is no"), (b"", "is damaged"), (b"PK", "is damaged")]
)
def test_a_checkpoint_that_cannot_be_read_is_one_clear_line(tmp_path, content, said):
    if content is not None:
        (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(TrainingError, match=f"{said}.*train") as told:
        checkpoints.load(tmp_path / "checkpoint.pt")
    assert "\n" not in str(told.value)


@pytest.mark.filterwarnings("ignore::UserWarning:torch")
def test_a_checkpoint_with_a_wrong_byte_is_one_clear_line_or_none(tmp_path):
    file = tmp_path / "checkpoint.pt"
    checkpoints.save(file, {"step": 1, "weights": {"a": torch.ones(4)}})
    whole = file.read_bytes()
    said = 0
    for at in range(len(whole)):
        wrong = bytearray(whole)
        wrong[at] ^= 0xFF
        file.write_bytes(wrong)
        try:
            checkpoints.load(file)
        except TrainingError as error:
            assert "is damaged" in str(error)
            said += 1
    assert said > 100


def test_a_checkpoint_half_written_does_not_count(tmp_path):
    file = tmp_path / "checkpoint.pt"
    checkpoints.save(file, {"step": 1})
    file.with_suffix(".part").write_bytes(b"half")
    assert checkpoints.load(file) == {"step": 1}


def test_the_rate_goes_up_stays_and_goes_down(monkeypatch):
    monkeypatch.setattr(learner, "WARM_UP", 200)
    settings = Settings(steps=1000, rate=1.0)
    rates = [settings.rate_at(step) for step in range(1000)]
    assert rates[0] < 0.01
    assert set(rates[200:750]) == {1.0}
    assert 0 < rates[-1] < 0.01


def test_true_stems_are_without_error():
    shape = (2, 4, 2, 64, 1024)
    # Apart in time, so that masks can tell them.
    stems = (
        torch.randn(shape, dtype=torch.complex64)
        * torch.eye(4).repeat_interleave(16, 1)[None, :, None, :, None]
    )
    stems[0, 1] = 0
    right, sdr_db = loss_of(stems, stems.abs(), 1)
    wrong, _ = loss_of(stems, stems.abs().roll(1, 1), 1)
    assert float(right) == pytest.approx(np.log10(FLOOR * SOFTEST), abs=0.02)
    assert wrong > right + 0.5
    assert torch.isnan(sdr_db[0, 1])
    assert (sdr_db[1] > 60).all()


def test_the_vocals_error_counts_as_often_as_is_said():
    """Stems take turns in time; networks that take two for each other are as wrong about both."""
    turns = torch.eye(4).repeat_interleave(16, 1)[None, :, None, :, None]
    stems = torch.ones((1, 4, 2, 64, 1024), dtype=torch.complex64) * turns
    exact = stems.abs()

    def cost(order, vocals):
        losses = (loss_of(stems, each, vocals)[0] for each in (exact[:, order], exact))
        return float(next(losses) - next(losses))

    for vocals in (1, 2, 5):
        with_vocals, without = cost([1, 0, 2, 3], vocals), cost([0, 2, 1, 3], vocals)
        assert with_vocals / without == pytest.approx((vocals + 1) / 2, rel=1e-3)
