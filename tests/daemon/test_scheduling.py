"""Priorities below the server's, as the kernel grants them to a user who is no administrator."""

import os

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


class Kernel:
    """The rules of sched(7) for one thread of an ordinary user.

    Real-time scheduling is granted up to the limit, and SCHED_RESET_ON_FORK, once set, is never
    taken back.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.policy, self.priority = os.SCHED_OTHER, 0

    def sched_getscheduler(self, _):
        return self.policy

    def sched_getparam(self, _):
        return os.sched_param(self.priority)

    def sched_setscheduler(self, _, policy, param):
        gives_flag_back = self.policy & ~policy & os.SCHED_RESET_ON_FORK
        if param.sched_priority > self.limit or gives_flag_back:
            raise PermissionError
        self.policy, self.priority = policy, param.sched_priority


@pytest.fixture
def kernel(monkeypatch):
    """A function that makes the kernel that the calls reach."""

    def make(limit: int) -> Kernel:
        made = Kernel(limit)
        for name in ("sched_getscheduler", "sched_getparam", "sched_setscheduler"):
            monkeypatch.setattr(os, name, getattr(made, name))
        return made

    return make


def test_priority_is_tried_and_given_back(kernel):
    ours = kernel(limit=80)
    assert may_have_priority(70)
    assert (ours.policy, ours.priority) == (os.SCHED_OTHER, 0)


def test_refusal_is_told_with_what_helps_and_is_harmless(kernel, caplog):
    kernel(limit=0)
    assert priorities_below(70) == Priorities(NORMAL, NORMAL)
    assert "65 is wanted" in caplog.text
    assert "RLIMIT_RTPRIO" in caplog.text


def test_thread_may_lose_its_priority_and_have_it_again(kernel):
    ours = kernel(limit=80)
    for priority in (60, NORMAL, 60):
        assert set_priority(priority)
        assert ours.priority == priority


def test_children_do_not_inherit_the_priority(kernel):
    ours = kernel(limit=80)
    set_priority(60)
    assert ours.policy & os.SCHED_RESET_ON_FORK


def test_without_real_time_on_the_server_stemd_has_none():
    assert priorities_below(NORMAL) == Priorities(NORMAL, NORMAL)


def test_threads_stand_below_the_server_and_above_nothing(kernel):
    kernel(limit=99)
    assert priorities_below(70) == Priorities(70 - ENGINE_BELOW, 70 - WORKERS_BELOW)
    assert priorities_below(3) == Priorities(1, 1)
