"""Priorities below the server's, as the kernel grants them to a user who is no administrator."""

import ctypes
import gc
import mmap
import os
import re
import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread

import pytest

from processes import options_of
from stemd.daemon.engine import scheduling
from stemd.daemon.engine.realtime import RealtimeSide
from stemd.daemon.engine.scheduling import (
    ENGINE_BELOW,
    NORMAL,
    STEERING_BELOW,
    WORKERS_BELOW,
    Priorities,
    Role,
    RoleThread,
    engine_rests,
    have_steering_priority,
    may_have_priority,
    priorities_below,
    priority_of,
    scheduled,
    set_priority,
    set_steering_priority,
    steering_thread,
    wait_for_rest,
    wanted_below,
)
from stemd.daemon.graph import private_server as private_server_module
from stemd.daemon.graph.jack import open_client
from stemd.daemon.graph.private_server import private_server
from waiting import PATIENCE_S, until, wait_until


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


def test_refusal_is_harmless(kernel):
    kernel(limit=0)
    assert priorities_below(70) == Priorities()


def test_refusal_of_any_kind_is_no_error(monkeypatch):
    """Sandboxes refuse otherwise than the kernel."""

    def refuse(*_):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert not may_have_priority(70)
    assert not set_priority(70)


@pytest.mark.parametrize(
    ("server", "limit", "granted"),
    [
        (88, 20, Priorities(20, 18, 15)),
        (88, 3, Priorities(3, 2, 1)),
        (88, 1, Priorities(1, NORMAL, NORMAL)),
        (5, 2, Priorities(2, 1, 1)),
        (5, 0, Priorities()),
    ],
)
def test_where_the_limit_is_lower_it_is_used_up_to_there(
    kernel, monkeypatch, server, limit, granted
):
    kernel(limit=limit)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    assert priorities_below(server) == granted


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


@pytest.mark.parametrize("server", range(1, 100))
def test_order_is_kept_as_far_as_there_are_levels_below_the_server(server):
    wanted = wanted_below(server)
    levels = server - 1
    assert max(wanted.engine, wanted.steering, wanted.workers) <= server
    assert wanted.engine > wanted.steering >= wanted.workers >= NORMAL
    assert wanted.workers > NORMAL or levels < 2, "networks have real-time priority too"
    assert wanted.steering > wanted.workers or levels < 3
    assert wanted.engine < server or levels < 1


def test_jackds_default_priority_leaves_room_for_all():
    assert wanted_below(5) == Priorities(3, 2, 1)


needs_priority = pytest.mark.skipif(
    not may_have_priority(private_server_module.PRIORITY),
    reason="the user may not have real-time priority; root may, as in CI",
)


@pytest.fixture
def waiting():
    """A function that starts a thread of a role, or any other, and keeps it waiting."""
    ending, threads = Event(), []

    def start(make):
        has_begun = Event()
        threads.append(make(lambda: (has_begun.set(), ending.wait())))
        threads[-1].start()
        assert has_begun.wait(PATIENCE_S)
        return threads[-1]

    yield start
    set_steering_priority(NORMAL)
    ending.set()
    for thread in threads:
        thread.join()


def priority(thread: Thread) -> int:
    return priority_of(thread.native_id)


@needs_priority
def test_threads_that_steer_have_their_priority_whenever_they_start(waiting):
    before = waiting(lambda target: steering_thread(target, "stemd-before"))
    other = waiting(lambda target: Thread(target=target, name="stemd-osc"))
    set_steering_priority(3)
    after = waiting(lambda target: steering_thread(target, "stemd-after"))
    assert [priority(each) for each in (before, after, other)] == [3, 3, NORMAL]
    assert os.sched_getscheduler(after.native_id) & os.SCHED_RESET_ON_FORK
    assert priority_of(0) == 3, "the main thread steers"
    set_steering_priority(NORMAL)
    assert [priority(each) for each in (before, after)] == [NORMAL, NORMAL]


@needs_priority
def test_threads_that_libraries_make_follow_too():
    set_steering_priority(2)
    with ThreadPoolExecutor(1, "stemd-pool", have_steering_priority) as pool:
        assert pool.submit(lambda: priority_of(0)).result() == 2
        set_steering_priority(3)
        assert pool.submit(lambda: priority_of(0)).result() == 3
        set_steering_priority(NORMAL)


@needs_priority
def test_each_role_is_reported_as_the_kernel_has_it(waiting):
    wanted = 2
    for name in ("stemd-vocals", "stemd-drums"):
        thread = waiting(
            lambda target, name=name: RoleThread(Role.NETWORKS, target, name, lambda: wanted)
        )
    assert scheduled(Role.NETWORKS) == [(2, 2), (2, 2)]
    set_priority(NORMAL, thread.native_id)  # as rtkit does when a thread runs too long
    assert sorted(scheduled(Role.NETWORKS)) == [(2, NORMAL), (2, 2)]
    assert scheduled(Role.ENGINE) == []


def test_threads_are_looked_up_while_others_are_made():
    kept = [steering_thread(print, "stemd-waiting") for _ in range(3000)]
    ending = Event()

    def make() -> None:
        while not ending.is_set():
            kept.append(steering_thread(print, "stemd-waiting"))

    maker = Thread(target=make)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        maker.start()
        for _ in range(50):
            scheduled(Role.STEERING)
            wait_for_rest()
    finally:
        ending.set()
        maker.join()
        sys.setswitchinterval(interval)


def test_what_holds_the_interpreter_for_long_begins_when_the_engine_rests(waiting, monkeypatch):
    monkeypatch.setattr(scheduling, "REST_S", 30.0)
    wait_for_rest()  # there is no engine to wait for
    waiting(lambda target: RoleThread(Role.ENGINE, target, "stemd-engine", lambda: NORMAL))
    engine_rests()  # before it was asked for
    loader = Thread(target=wait_for_rest)
    loader.start()
    loader.join(0.1)
    assert loader.is_alive()
    engine_rests()  # which may be late, after the last network
    loader.join(0.1)
    assert loader.is_alive()
    for _ in until(lambda: not loader.is_alive()):
        engine_rests()


def test_every_thread_of_the_daemon_has_a_role():
    """A plain thread that holds the interpreter would keep it from the engine."""
    folder = Path(scheduling.__file__).parents[1]
    plain = [
        f"{path.name}: {line.strip()}"
        for path in sorted(folder.rglob("*.py"))
        if path.name != "scheduling.py" and path.parent.name != "files"  # no daemon runs those
        for line in path.read_text().splitlines()
        if re.search(r"\bThread\(|\bTimer\(|_thread\.start_new|ThreadPoolExecutor\([^)]*\)", line)
        and "have_steering_priority" not in line
    ]
    assert plain == []


@needs_priority
def test_private_server_takes_what_the_limit_permits(monkeypatch):
    monkeypatch.setattr(private_server_module, "highest_by_limits", lambda wanted: wanted // 2)
    with private_server() as name:
        assert ["-P", str(private_server_module.PRIORITY // 2)] in [
            list(pair) for pair in pairwise(options_of(name))
        ]


@needs_priority
def test_private_server_leaves_room_for_all_threads():
    with private_server() as name, closing(open_client("stemd", "jack", name)) as client:
        rt = RealtimeSide(0, 0, client.samplerate)
        client.bind(rt.callbacks, [], [])
        client.activate()
        wait_until(lambda: rt.counters().periods)
        priority = rt.counters().priority
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


@pytest.mark.parametrize(
    ("limit", "may"),
    [(resource.RLIM_INFINITY, True), (4 << 30, True), (8 << 20, False), (0, False)],
)
def test_memory_is_locked_where_it_may_grow(monkeypatch, limit, may):
    monkeypatch.setattr(scheduling, "has_capability", lambda number: False)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    assert scheduling.may_lock_memory() is may


def test_refusal_to_lock_memory_again_is_known(monkeypatch):
    class Libc:
        refuses = 0

        def mlockall(self, flags):
            return self.refuses

        def munlockall(self):
            return 0

        def malloc_trim(self, pad):
            return 0

    libc = Libc()
    monkeypatch.setattr(scheduling.ctypes, "CDLL", lambda name: libc)
    monkeypatch.setattr(scheduling, "may_lock_memory", lambda: True)
    scheduling.settle_memory()
    gc.unfreeze()
    assert scheduling.memory_is_locked()
    libc.refuses = -1
    scheduling.give_back_memory()
    assert not scheduling.memory_is_locked()
