"""`python -m research.training`: what it is told, and what it says where it cannot do it."""

import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import pytest

from research.material.voices import MaterialError
from research.training import __main__ as command
from research.training import checkpoints, errors
from research.training.errors import TrainingError, tell
from research.training.learner import CHECKPOINT, Settings
from research.training.start import Start
from research.training.tracks import OWN, digest_of, write_list

ROOT = Path(__file__).parents[3]


@pytest.fixture
def end(monkeypatch, capsys):
    """Run the command, which must fail; gives the status and the last line of its errors."""

    monkeypatch.setattr(command, "all_songs", list)
    monkeypatch.setattr(command, "refuse_unlike", lambda *_: None)

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["training", *arguments])
        with pytest.raises(SystemExit) as ended:
            tell("training", command.main)
        said = capsys.readouterr().err
        if isinstance(ended.value.code, str):  # which the interpreter prints
            return 1, ended.value.code.splitlines()[-1]
        return ended.value.code, said.splitlines()[-1]

    return run


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["train", "--steps", "0"], 2, "--steps: must be a whole number of 1 or more (got 0)"),
        (["train", "--steps", "1e3"], 2, "--steps: must be a whole number of 1 or more (got 1e3)"),
        (["train", "--seed", "-1"], 2, "--seed: must be a whole number of 0 or more (got -1)"),
        (["train", "--rate", "-1"], 2, "--rate: must be a number above 0, and 1 at most (got -1)"),
        (["train", "--rate", "x"], 2, "--rate: must be a number above 0, and 1 at most (got x)"),
        (["train", "--run", "../x"], 2, "--run: must be a name without folders (got ../x)"),
        (["train", "--run", ".."], 2, "--run: must be a name without folders (got ..)"),
        (["train", "--run", ""], 2, "--run: must be a name without folders (got )"),
        (["train"], 1, "run `make train ARGS=material` first"),
        (["bundle", "--run", "none"], 1, "run `make train ARGS=material` first"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(end, tmp_path, arguments, status, said):
    ended, line = end(*arguments, "--folder", str(tmp_path))
    assert ended == status
    assert said in line


def test_the_program_says_one_line(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "research.training", "train", "--folder", str(tmp_path)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert "run `make train ARGS=material` first" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_a_set_of_a_run_that_there_is_not_is_one_clear_line(end, tmp_path, tracks):
    for name in ("tracks", "voices"):
        write_list(tmp_path / f"{name}.json", tracks)
    status, line = end("bundle", "--run", "none", "--folder", str(tmp_path))
    assert status == 1
    assert "runs/none/checkpoint.pt: train first" in line


def test_each_wish_arrives(tmp_path, tracks, monkeypatch):
    told = {}

    def train(material, folder, heard, settings, start, say):
        told.update(material=material, folder=folder, tracks=heard, settings=settings)
        told.update(start=start.name)

    def build(run, material, out_dir, heard, songs):
        told.update(run=run, out_dir=out_dir)
        raise TrainingError("far enough")

    def start_in(name, folder):
        told.update(begun_in=folder)
        return Start(name, {}, {"heard": "something"})

    for name in ("tracks", "voices"):
        write_list(tmp_path / f"{name}.json", tracks)
    monkeypatch.setattr(command, "train", train)
    monkeypatch.setattr(command, "all_songs", list)
    monkeypatch.setattr(command, "bundled_start", start_in)
    mine = replace(tracks[0], player=OWN)
    monkeypatch.setattr(command, "read_own", lambda _: [mine])
    monkeypatch.setattr(
        command, "refuse_heard", lambda start, seed, *held: told.update(before=(seed, held))
    )
    monkeypatch.setattr(command, "FONTS", ())
    monkeypatch.setattr(command, "refuse_unlike", lambda *_: told.update(looked_at=True))
    monkeypatch.setattr(command.bundle, "build", build)
    wishes = ["--folder", str(tmp_path), "--run", "mine", "-o", "out"]
    wishes += ["--seed", "3", "--steps", "5", "--rate", "0.1", "--start", "4stems-stemd"]
    monkeypatch.setattr(sys, "argv", ["training", "train", *wishes])
    command.main()
    monkeypatch.setattr(sys, "argv", ["training", "bundle", *wishes])
    with pytest.raises(TrainingError, match="far enough"):
        command.main()
    assert told == {
        "material": tmp_path,
        "folder": tmp_path / "runs" / "mine",
        "run": tmp_path / "runs" / "mine",
        "tracks": [*tracks, *tracks, mine],
        "start": "4stems-stemd",
        "begun_in": Path("out"),
        "before": (3, ([], (), [mine])),
        "settings": Settings(seed=3, steps=5, rate=0.1),
        "out_dir": Path("out"),
        "looked_at": True,
    }


@pytest.mark.parametrize(
    "error", [MaterialError("x"), OSError("x"), errors.LibsndfileError(2, "x"), TrainingError("x")]
)
def test_what_a_user_can_mend_is_a_line(error):
    def fail():
        raise error

    with pytest.raises(SystemExit, match=f"^training: .*{error}"):
        tell("training", fail)


def test_a_process_that_was_killed_is_a_line():
    def fail():
        raise BrokenProcessPool

    with pytest.raises(SystemExit, match=r"^training: one of its processes was killed"):
        tell("training", fail)


def test_a_set_needs_the_one_that_it_was_trained_from(end, tmp_path, tracks):
    for name in ("tracks", "voices"):
        write_list(tmp_path / f"{name}.json", tracks)
    state = {
        "step": 1,
        "settings": '{"steps": 1}',
        "about": {"material": digest_of([*tracks, *tracks])},
    }
    (tmp_path / "runs" / "4stems-stemd").mkdir(parents=True)
    checkpoints.save(tmp_path / "runs" / "4stems-stemd" / CHECKPOINT, state)
    status, line = end("bundle", "--folder", str(tmp_path), "-o", str(tmp_path / "nowhere"))
    assert status == 1
    assert "nowhere/2stems" in line


def test_who_is_interrupted_says_that_it_goes_on(capsys):
    def fail():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        tell("training", fail)
    assert ended.value.code == 130
    assert "goes on where it was" in capsys.readouterr().err
