"""The log: priorities for the journal, repeats left out."""

import logging
import subprocess
import sys
import threading

import pytest

from stemd.daemon.cli import logs
from stemd.daemon.supervisor.state import TRANSITION


@pytest.fixture
def log():
    """A logger of its own, and the lines that are written."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    made = logging.Logger("test")
    handler = Handler()
    handler.addFilter(logs.RepeatFilter())
    made.addHandler(handler)
    return made, handler, lines


def test_the_journal_learns_the_priority_of_each_line(log):
    logger, handler, lines = log
    handler.setFormatter(logs.JournalFormatter("%(message)s"))
    logger.debug("a")
    logger.info("b")
    logger.warning("c\nd")
    logger.error("e")
    assert lines == ["<7>a", "<6>b", r"<4>c\nd", "<3>e"]


def test_what_was_just_said_is_left_out_and_counted(log, monkeypatch):
    logger, _, lines = log
    now = 0.0
    monkeypatch.setattr(logs, "monotonic", lambda: now)
    for _ in range(100):
        logger.warning("state: %s", "overloaded")
        logger.warning("state: %s", "playing")
    assert lines == ["state: overloaded", "state: playing"] * logs.BURST
    now = logs.REPEAT_S + 1
    logger.warning("state: %s", "overloaded")
    assert lines[-1] == f"state: overloaded ({100 - logs.BURST} more times meanwhile)"
    logger.warning("state: %s", "overloaded")
    assert lines[-1] == "state: overloaded"


def test_the_last_line_about_a_state_is_the_present_one(log, monkeypatch):
    logger, _, lines = log
    monkeypatch.setattr(logs, "monotonic", lambda: 0.0)
    for state in ("overloaded", "playing") * 10:
        logger.warning("state: %s", state, extra=TRANSITION)
        assert lines[-1] == f"state: {state}"
    for _ in range(1000):
        logger.warning("state: %s", "playing", extra=TRANSITION)
    assert len(lines) == logs.MOST_OF_A_KIND, "not even states flood"


def test_lines_that_differ_in_their_details_do_not_flood(log, monkeypatch):
    logger, handler, lines = log
    now = 0.0
    monkeypatch.setattr(logs, "monotonic", lambda: now)
    for number in range(10_000):
        logger.warning("OSC: there is nothing at %s", number)
    assert len(lines) == logs.MOST_OF_A_KIND
    assert len(handler.filters[0]._lines._counts) == logs.MOST_OF_A_KIND
    now = logs.REPEAT_S + 1
    logger.warning("OSC: there is nothing at %s", "last")
    assert lines[-1].endswith("last")


def test_what_was_said_long_ago_is_forgotten(log, monkeypatch):
    logger, handler, _ = log
    clock = [logs.monotonic()]
    monkeypatch.setattr(logs, "monotonic", lambda: clock[0])
    for number in range(5_000):
        logger.warning("a client left: %s", number)
        clock[0] += 1
    assert len(handler.filters[0]._lines._counts) <= logs.REMEMBERED_S + logs.REPEAT_S


def test_threads_may_log_at_once(log):
    logger, _, lines = log
    threads = [
        threading.Thread(target=lambda n=n: [logger.info("%d %d", n, m) for m in range(500)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines) == logs.MOST_OF_A_KIND


def test_standard_error_is_the_journal_only_where_it_is(tmp_path):
    program = (
        "import os\nfrom stemd.daemon.cli import logs\n"
        "there = os.fstat(2)\n"
        "right, wrong = f'{there.st_dev}:{there.st_ino}', f'{there.st_dev}:{there.st_ino + 1}'\n"
        "print([logs.is_journal({'JOURNAL_STREAM': x}) for x in (right, wrong)])\n"
        "print(logs.is_journal({}))\n"
        "os.close(2)\nprint(logs.is_journal({'JOURNAL_STREAM': right}))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert ended.stdout.split("\n")[:3] == ["[True, False]", "False", "False"]
