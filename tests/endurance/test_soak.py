"""What the soak and the count of xruns make of the programs' reports."""

import sys

import pytest

import floods
import programs
import soak
import xruns
from programs import Program


def report(*heard: float, connections: int = soak.CONNECTIONS):
    return {"heard": list(heard), "connections": connections}


@pytest.mark.parametrize(
    ("told", "plays"),
    [
        (report(0, 0, 0.5, 0, 0, 0, 0, 0), True),
        (report(0, 0, 0, 0, 0, 0, 0.5, 0.5), False),
        (report(0.5, 0, 0, 0, 0, 0, 0, 0, connections=9), False),
        ({"joined": 48_000}, False),
    ],
    ids=["a stem", "the dry signal alone", "a connection is missing", "another report"],
)
def test_it_plays_when_a_stem_is_heard_and_all_is_connected(told, plays):
    assert soak._plays(told) == plays


def test_every_graph_counts_by_its_last_report():
    reports = [
        {"joined": 1},
        *({"periods": n} for n in (1, 2)),
        {"left": True},
        {"joined": 1},
        {"periods": 5},
    ]
    assert soak._last_of_each_graph(reports) == [{"periods": 2}, {"periods": 5}]


def test_counts_are_summed_up_and_the_worst_is_kept():
    total = xruns.add(xruns.Count(1, 2, 3, 4.0, 5, 6), xruns.Count(10, 20, 30, 3.0, 50, 60))
    assert total == xruns.Count(11, 22, 33, 4.0, 55, 66)


@pytest.mark.parametrize("option", [["--only", "nothing of the kind"], ["--server", "alsa"]])
def test_what_the_soak_does_not_know_is_refused_in_words(option, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["soak.py", *option])
    with pytest.raises(SystemExit):
        soak.main()
    assert option[1] in capsys.readouterr().err


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A function that runs a program of these lines."""
    monkeypatch.setattr(programs, "HERE", tmp_path)
    started = []

    def run(*lines: str) -> Program:
        (tmp_path / "it.py").write_text("\n".join(["import time", *lines]))
        started.append(Program("it.py", [], {}, tmp_path / "log"))
        return started[-1]

    yield run
    for each in started:
        each.end()


def test_a_report_is_waited_for_and_what_is_no_json_is_left_out(program):
    it = program(
        "print('{\"n\": 1}')", "print('{\"n')", "print('{\"n\": 2}', flush=True)", "time.sleep(60)"
    )
    assert it.wait_for(lambda told: told["n"] == 2, 10, since=0) == {"n": 2}


def test_the_end_of_a_program_is_told_at_once(program):
    it = program("raise SystemExit(3)")
    with pytest.raises(TimeoutError, match="exit code is"):
        it.wait_for(lambda told: True, 60)


def test_what_floods_do_is_summed_up():
    total, before = floods.Count(10, 20, 30, 40, 50), floods.Count(1, 2, 3, 4, 5)
    assert total.plus(before) == floods.Count(11, 22, 33, 44, 55)
    assert total.plus(before, -1) == floods.Count(9, 18, 27, 36, 45)
