"""Priorities below the server's, as the kernel grants them to a user who is no administrator."""

import ctypes
import mmap
import os
import resource
from pathlib import Path
from threading import Event, Thread

import pytest

from stemd.daemon import private_server as private_server_module
from stemd.daemon import scheduling
from stemd.daemon.jack_graph import open_client
from stemd.daemon.private_server import private_server
from stemd.daemon.realtime import RealtimeSide
from stemd.daemon.scheduling import (
    ENGINE_BELOW,
    NORMAL,
    STEERING_BELOW,
    WORKERS_BELOW,
    Priorities,
    may_have_priority,
    priorities_below,
    set_priority,
    set_steering_priority,
    wanted_below,
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
    assert priorities_below(70) == Priorities()
    assert "65 is wanted" in caplog.text
    assert "RLIMIT_RTPRIO" in caplog.text


def test_where_the_limit_is_lower_it_is_used_up_to_there(kernel, monkeypatch, caplog):
    kernel(limit=20)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (20, 20))
    assert priorities_below(88) == Priorities(20, 18, 15)
    assert "83 is wanted, the limit is 20" in caplog.text


def test_thread_may_lose_its_priority_and_have_it_again(kernel):
    ours = kernel(limit=80)
    for priority in (60, NORMAL, 60):
        assert set_priority(priority)
        assert ours.priority == priority


def test_what_is_permitted_is_told_by_a_thread_that_has_priority_too(kernel):
    ours = kernel(limit=80)
    set_priority(60)
    assert may_have_priority(70)
    assert ours.priority == 60


def test_children_do_not_inherit_the_priority(kernel):
    ours = kernel(limit=80)
    set_priority(60)
    assert ours.policy & os.SCHED_RESET_ON_FORK


def test_without_real_time_on_the_server_stemd_has_none():
    assert priorities_below(NORMAL) == Priorities()


def test_threads_stand_below_the_server_and_above_nothing(kernel):
    kernel(limit=99)
    assert priorities_below(70) == Priorities(
        70 - ENGINE_BELOW, 70 - STEERING_BELOW, 70 - WORKERS_BELOW
    )


def test_workers_never_stand_beside_the_engine(kernel):
    kernel(limit=99)
    for server in range(2, 99):
        wanted = priorities_below(server)
        assert wanted.workers < wanted.engine < server
        assert wanted.workers <= wanted.steering < wanted.engine
    assert priorities_below(10) == Priorities(5, 3, NORMAL)


needs_priority = pytest.mark.skipif(
    not may_have_priority(private_server_module.PRIORITY),
    reason="the user may not have real-time priority; root may, as in CI",
)


@needs_priority
def test_threads_that_steer_have_their_priority_and_no_others():
    ending = Event()
    threads = [Thread(target=ending.wait, name=name) for name in ("stemd-osc", "stemd-reload")]
    for thread in threads:
        thread.start()
    try:
        set_steering_priority(3)
        policies = [os.sched_getscheduler(thread.native_id) for thread in threads]
        of_main = os.sched_getparam(0).sched_priority
    finally:
        set_steering_priority(NORMAL)
        ending.set()
    assert policies == [os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.SCHED_OTHER]
    assert of_main == 3
    assert os.sched_getparam(0).sched_priority == NORMAL


@needs_priority
def test_private_server_leaves_room_for_all_threads():
    with private_server() as name:
        client = open_client("stemd", "jack", name)
        rt = RealtimeSide(0, 0, client.samplerate)
        client.bind(rt, [], [])
        client.activate()
        for _ in range(100):
            rt.wait_events(0.1)
            if rt.counters().periods:
                break
        priority = rt.counters().priority
        client.close()
    assert priority == private_server_module.PRIORITY - 5
    assert NORMAL < wanted_below(priority).workers < wanted_below(priority).engine


def test_what_others_have_locked_stays_so_and_no_more():
    libc, page = ctypes.CDLL(None), mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    assert libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE)) == 0
    locked = locked_kb()
    scheduling.give_back_memory()
    assert locked_kb() == locked
    assert libc.munlock(ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE)) == 0


def locked_kb() -> int:
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmLck" in line
    )
    return int(line.split()[1])
