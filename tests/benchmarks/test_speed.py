"""What the benchmarks could lie about: who is compared with whom, and what the document says."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cost import cost_of
from benchmarks.rounds import Ratio, clocked, in_turns, ratio
from benchmarks.speed import agreement


def test_rivals_take_turns_and_every_other_round_runs_backwards():
    order = []
    results = in_turns(
        {name: lambda name=name: order.append(name) or len(order) for name in "abc"}, 3
    )
    assert "".join(order) == "abccbaabc"
    assert results == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}


def test_ratio_is_theirs_over_ours_within_each_round():
    # The machine slowed down to a tenth in the last round: a ratio of sums would be 1.1.
    assert ratio([1, 1, 20], [2, 3, 20]).median == 2
    assert ratio([1, 1, 1, 1, 1], [5, 1, 3, 2, 4]) == Ratio(3, 2, 4)


def test_ratio_refuses_rounds_that_do_not_pair():
    with pytest.raises(ValueError, match="zip"):
        ratio([1, 1], [2, 2, 2])


def test_clocked_counts_the_work_once():
    calls = []
    seconds = clocked(lambda: calls.append(sum(range(10**5))))()
    assert len(calls) == 1
    assert seconds.wall > 0


def test_agreement_is_in_decibels_by_stem():
    theirs = np.ones((2, 2, 10), np.float32)
    ours = theirs + np.float32([0.1, 0.01])[:, None, None]
    assert agreement(ours, theirs) == "20 dB, 40 dB"


def test_cost_counts_the_command_and_not_whoever_measures(tmp_path):
    ballast = np.ones(60_000_000 // 8)
    script = tmp_path / "busy.py"
    script.write_text("import time\nprint('noise')\nwhile time.process_time() < 0.1: pass\n")
    # The work is done by a child of the command's, and ends by its own count.
    command = ["sh", "-c", '"$0" -I "$1"; true', sys.executable, script]
    cost = cost_of(command, dict(os.environ), tmp_path)
    assert cost.cpu_s >= 0.1
    assert cost.wall_s > 0
    assert 1 < cost.peak_mb < ballast.nbytes / 1e6 / 2


def test_a_command_that_fails_is_no_result(tmp_path):
    with pytest.raises(RuntimeError, match="it broke"):
        cost_of(["sh", "-c", "echo it broke >&2; exit 3"], dict(os.environ), tmp_path)


def test_without_its_environment_one_line_says_what_to_do():
    environment = {key: value for key, value in os.environ.items() if key != "STEMD_ORACLE_PYTHON"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed"],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == "STEMD_ORACLE_PYTHON is not set: run this by `make speed`\n"
