"""Turns come at a rate, whoever takes them."""

import pytest

from stemd.daemon.control import pace
from stemd.daemon.control.pace import Pace


@pytest.fixture
def now(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(pace, "monotonic", lambda: clock[0])
    return clock


def test_the_first_comes_at_once_and_the_others_one_after_the_other(now):
    turns = Pace(per_s=500)
    assert [turns.take() for _ in range(4)] == pytest.approx([0, 0.002, 0.004, 0.006])


def test_no_turns_are_saved_up(now):
    turns = Pace(per_s=500)
    turns.take()
    now[0] += 1000
    assert [turns.take() for _ in range(3)] == pytest.approx([0, 0.002, 0.004])
