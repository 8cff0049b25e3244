"""From counters to the trouble, or none: pure functions, told by tables."""

import pytest

from stemd.daemon.supervisor.health import (
    HUNG_S,
    KEEP_UP_S,
    STOOD_STILL_S,
    WEDGED_S,
    AttendedClock,
    Flow,
    Progress,
    Standstill,
    Verdict,
    flows,
    trouble,
    verdict,
)

BLOCK_S = 2.0


def progress_at(*looks) -> Progress:
    """What is known after looks at (now, delivered, estimated)."""
    progress = Progress()
    for now, delivered, estimated in looks:
        progress = progress.after(delivered, estimated, now)
    return progress


BEGUN = (100.0, 0, 0)


@pytest.mark.parametrize(
    ("looks", "now", "failure", "expected"),
    [
        ([BEGUN], 100, None, None),
        ([BEGUN], 100, RuntimeError("out of order"), "out of order"),
        ([BEGUN], 100 + WEDGED_S, None, None),
        ([BEGUN], 100 + 1.01 * WEDGED_S, None, "nothing came out for 2 s"),
        ([BEGUN, (101, 1, 0)], 101 + WEDGED_S, None, None),
        ([BEGUN, (101, 1, 0), (103, 1, 5)], 103.5, None, "nothing came out for 2 s"),
        ([BEGUN, (112, 1, 0)], 100 + HUNG_S + BLOCK_S, None, None),
        ([BEGUN, (112, 1, 0)], 112.5, None, "a network did not end within 12 s"),
        ([BEGUN, (111, 0, 1), (112, 1, 1)], 112.5, None, None),
        ([BEGUN], 200, ValueError("first"), "first"),
    ],
)
def test_standing_counters_are_trouble_after_a_while(looks, now, failure, expected):
    assert trouble(progress_at(*looks), now, BLOCK_S, failure) == expected


@pytest.mark.parametrize(("holds_bounce", "hangs"), [(False, False), (True, True)])
def test_nothing_is_due_while_the_server_does_not_call(holds_bounce, hangs):
    """But a bounce waits for an estimate."""
    excused = progress_at(BEGUN).excused(50, holds_bounce)
    assert trouble(excused, 150 + WEDGED_S, BLOCK_S) == (
        "a network did not end within 12 s" if hangs else None
    )
    assert trouble(excused, 150 + 1.01 * WEDGED_S, BLOCK_S) == "nothing came out for 2 s"


def test_an_excuse_takes_away_only_the_time_that_was_missed():
    progress = progress_at(BEGUN, (111, 1, 0))
    for _ in range(100):
        progress = progress.excused(0.5, holds_bounce=False)
    assert trouble(progress, 100 + HUNG_S + BLOCK_S + 50, BLOCK_S) is None
    late = 100 + HUNG_S + BLOCK_S + 50.1
    assert trouble(progress, late, BLOCK_S) == "a network did not end within 12 s"


def test_a_clock_counts_the_time_that_was_attended():
    clock = AttendedClock()
    looks = (1000.0, 1000.25, 1000.5, 1005.0, 1005.0, 5000.0, 5000.25)
    counted = [clock.at(now) for now in looks]
    assert counted == [0, 0.25, 0.5, 1.5, 1.5, 2.5, 2.75]
    assert STOOD_STILL_S == 1.0


def test_a_counter_stands_still_from_its_first_look_on():
    assert Standstill().after(7, 3.0) == Standstill(7, 3.0)
    assert Standstill(7, 3.0).after(7, 9.0).since == 3.0
    assert Standstill(7, 3.0).after(8, 9.0).since == 9.0


PATIENCE_S = 1 + KEEP_UP_S + 2 * BLOCK_S


@pytest.mark.parametrize(
    ("heard_s", "in_time", "is_overloaded", "expected"),
    [
        (0.0, 0, False, Verdict.WAIT),
        (0.9, 5, False, Verdict.WAIT),
        (1.0, 0, False, Verdict.WAIT),
        (1.0, 1, False, Verdict.READY),
        (1.0, 1, True, Verdict.WAIT),
        (PATIENCE_S, 0, False, Verdict.WAIT),
        (PATIENCE_S + 0.1, 0, False, Verdict.TOO_LATE),
        (PATIENCE_S + 0.1, 1, True, Verdict.TOO_LATE),
        (PATIENCE_S + 0.1, 1, False, Verdict.READY),
    ],
)
def test_another_separation_is_ready_once_it_is_warm_and_in_time(
    heard_s, in_time, is_overloaded, expected
):
    assert verdict(heard_s, 1.0, BLOCK_S, in_time, is_overloaded) is expected


@pytest.mark.parametrize(
    ("now", "is_recovering", "expected"),
    [
        (Flow(11, 501), False, True),
        (Flow(11, 500), False, False),
        (Flow(11, 500), True, True),
        (Flow(10, 501), False, False),
        (Flow(10, 500), True, False),
    ],
)
def test_music_flows_where_cycles_pass_and_something_is_heard(now, is_recovering, expected):
    assert flows(Flow(10, 500), now, is_recovering) is expected
