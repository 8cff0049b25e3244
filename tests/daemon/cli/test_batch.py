"""Several songs in one run: which of them has a name, and when this machine is measured."""

from concurrent.futures import Future
from pathlib import Path

import pytest
from click.testing import CliRunner

from stemd.daemon.cli import batch as module
from stemd.daemon.cli.batch import Batch
from stemd.daemon.cli.commands import stemd as cli
from stemd.daemon.files import separator
from stemd.daemon.files.job import Job, Outcome
from stemd.daemon.files.separate import wanted_files
from stemd.daemon.files.separator import works_for
from stemd.daemon.files.stem_files import Destination
from stemd.daemon.work import SetOfNetworks, Work
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import OFFLINE


class Crew:
    """Ends each song at once, in one of the ways that it is told."""

    def __init__(self, states: dict[str, str]) -> None:
        self.states, self.submitted = states, []

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, job: Job, _: object) -> "Future[Outcome]":
        self.submitted.append(job.song.name)
        state = self.states[job.song.name]
        warnings = ["why"] if state in ("not separated", "damaged") else []
        ended = Future()
        ended.set_result(Outcome(str(job.song), state, warnings=warnings))
        return ended


def run(monkeypatch, states: dict[str, str], is_late: bool) -> tuple[Crew, dict[str, Outcome]]:
    works = works_for("2stems", preset="seed")
    batch, crew = Batch(works, MaskExtension.MEAN, wanted_files(["vocals"])), Crew(states)
    monkeypatch.setattr(batch, "_crew", lambda: crew)
    if is_late:  # all songs are found before the first one ends
        submit, held = crew.submit, []

        def keep(job: Job, on_progress: object) -> "Future[Outcome]":
            ended = Future()
            held.append((ended, submit(job, on_progress).result()))
            return ended

        crew.submit = keep

    def songs():
        for name in states:
            yield Path(name), Destination(Path("out"))
        if is_late:
            crew.submit = submit
            for ended, outcome in held:
                ended.set_result(outcome)

    batch.separate_all(songs())
    return crew, {each.song: each for each in batch._outcomes.values()}


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("state", ["separated", "damaged", "done already"])
def test_the_first_song_has_a_name_whenever_it_ends(state, is_late, monkeypatch):
    crew, outcomes = run(monkeypatch, {"a": state, "b": "separated", "c": "separated"}, is_late)
    assert crew.submitted == ["a"]
    assert [outcomes[name].state for name in "abc"] == [state, "not separated", "not separated"]
    assert "out/vocals.wav is a stem of a, which has the same name" in outcomes["b"].warnings[0]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_song_that_is_not_separated_leaves_its_name_to_the_next(is_late, monkeypatch):
    states = {"a": "not separated", "b": "separated", "c": "separated"}
    crew, outcomes = run(monkeypatch, states, is_late)
    assert crew.submitted == ["a", "b"]
    became = [outcomes[name].state for name in "abc"]
    assert became == ["not separated", "separated", "not separated"]
    assert "is a stem of b" in outcomes["c"].warnings[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "stem.mp4"], "standard input has no name for a folder: give one (-o)"),
        (
            ["--format", "stem.mp4", "--networks", "2stems"],
            "the 2stems networks separate vocals, accompaniment: choose networks that separate",
        ),
    ],
)
def test_a_stem_mp4_file_needs_a_name_and_four_stems(options, message, monkeypatch, tmp_path):
    if "--networks" not in options:
        four = SetOfNetworks("4stems", ("vocals", "drums", "bass", "other"))
        work = Work(OFFLINE, four, "fp32", 1)
        monkeypatch.setattr(separator, "works_for", lambda *_: [work])
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(cli, ["separate", "-", *options])
    assert ended.exit_code == 1
    assert message in str(ended.exception) + ended.output
    assert list(tmp_path.iterdir()) == []


def test_a_stem_mp4_file_of_standard_input_is_called_stdin(monkeypatch, tmp_path):
    four = SetOfNetworks("4stems", ("vocals", "drums", "bass", "other"))
    monkeypatch.setattr(separator, "works_for", lambda *_: [Work(OFFLINE, four, "fp32", 1)])
    told = []

    class Told(Batch):
        def separate(self, _: Path, destination: Destination) -> None:
            told.extend(destination.targets(["stems"]))

    monkeypatch.setattr(module, "Batch", Told)
    words = ["separate", "-", "--format", "stem.mp4", "-o", str(tmp_path)]
    CliRunner().invoke(cli, words, catch_exceptions=False)
    assert told == [tmp_path / "stdin.stem.mp4"]


def test_a_report_that_cannot_be_written_at_the_end_hides_no_error(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    made = Batch(works_for("2stems"), MaskExtension.MEAN, wanted_files(["vocals"]))
    with pytest.raises(ZeroDivisionError), made.reporting(tmp_path / "out" / "report.json"):
        (tmp_path / "out").rmdir()
        raise ZeroDivisionError
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"stemd: cannot write the report {tmp_path}/out/report.json: ")


def test_a_song_that_is_not_there_is_said_before_the_machine_is_measured(monkeypatch, tmp_path):
    def refuse(_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(separator, "first_held", refuse)
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(cli, ["separate", "missing.wav", "--preset", "live"])
    assert ended.exit_code == 1
    assert "missing.wav: there is no such file" in str(ended.exception) + ended.output
