"""Priorities below the server's, tried by a user who is no administrator too."""

import os
import resource
import warnings

import pytest

from stemd.daemon.scheduling import (
    ENGINE_BELOW,
    NORMAL,
    WORKERS_BELOW,
    Priorities,
    may_have_priority,
    priorities_below,
    set_priority,
)

NOBODY = 65_534


def as_nobody(limit: int, what) -> int:
    """Call something in a process of a user who may have priorities up to a limit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 2
    try:
        resource.setrlimit(resource.RLIMIT_RTPRIO, (limit, limit))
        os.setuid(NOBODY)
        status = 0 if what() else 1
    finally:
        os._exit(status)


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")


@as_root
def test_priority_is_tried_and_given_back_by_an_ordinary_user():
    def tried() -> bool:
        return may_have_priority(70) and os.sched_getscheduler(0) == os.SCHED_OTHER

    assert as_nobody(80, tried) == 0


@as_root
def test_refusal_is_told_and_harmless():
    assert as_nobody(0, lambda: priorities_below(70) == Priorities(NORMAL, NORMAL)) == 0


@as_root
def test_ordinary_user_may_go_back_to_none_while_overloaded():
    def went_back() -> bool:
        return set_priority(60) and set_priority(NORMAL) and set_priority(60)

    assert as_nobody(80, went_back) == 0


def test_without_real_time_on_the_server_stemd_has_none():
    assert priorities_below(NORMAL) == Priorities(NORMAL, NORMAL)


def test_threads_stand_below_the_server_and_above_nothing(monkeypatch):
    monkeypatch.setattr("stemd.daemon.scheduling.may_have_priority", lambda priority: True)
    assert priorities_below(70) == Priorities(70 - ENGINE_BELOW, 70 - WORKERS_BELOW)
    assert priorities_below(3) == Priorities(1, 1)
