"""What no limit permits rtkit grants, and no thread that computes for long ends the daemon."""

import os
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from types import SimpleNamespace

import pytest

import servers
from fake_rtkit import HIGHEST, LONGEST_US, fake_rtkit
from processes import STEMD, running
from stemd.daemon.control.client import ControlClient
from stemd.daemon.engine import rtkit
from stemd.daemon.engine.scheduling import may_have_priority
from unprivileged import buses, without_rights
from waiting import PATIENCE_S, wait_until

needs_priority = pytest.mark.skipif(
    not may_have_priority(HIGHEST),
    reason="the user may not have real-time priority; root may, as in CI",
)

REFUSED = """
import hashlib, os, resource, signal, threading, time
from stemd.daemon.engine import rtkit as module, scheduling
from stemd.daemon.engine.scheduling import *

kernel = os.sched_setscheduler
def refuse(thread, policy, param):
    if param.sched_priority:
        raise PermissionError
    kernel(thread, policy, param)
os.sched_setscheduler = refuse
resource.getrlimit, limits = (lambda which: (0, 0)), resource.getrlimit

PATIENCE_S = 60
module.ANSWER_S = 30  # whatever else the machine does

def wait_until(holds):
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.005)

def compute():
    # As a network does: outside the interpreter, without waiting for anything, for long.
    hashlib.pbkdf2_hmac("sha256", b"", b"", 1_500_000)
"""
"""An ordinary user's kernel."""


GRANTED = """
rtkit.terms = module.Terms(20, 200_000)

def grant(verb, *arguments):
    _, thread, priority = map(int, arguments[2:])
    flags = os.SCHED_RR | os.SCHED_RESET_ON_FORK
    kernel(thread, flags, os.sched_param(priority))
    return ""

module._busctl = grant
"""
"""An rtkit that answers at once."""

ASKED = (
    GRANTED
    + """
asked, answer, ending = (threading.Event() for _ in range(3))

def wait_and_grant(*arguments):
    asked.set()
    answer.wait(PATIENCE_S)
    return grant(*arguments)

module._busctl = wait_and_grant
wanted = 3
engine = RoleThread(Role.ENGINE, ending.wait, "stemd-engine", lambda: wanted)
engine.start()
asked.wait(PATIENCE_S)
"""
)
"""One that is being asked for an engine's priority, and answers after that."""


def run(program: str, address: str, before: str = "") -> list[str]:
    """What a program of its own, which has limits of its own, says of a system bus."""
    ended = subprocess.run(
        [sys.executable, "-c", REFUSED + before + dedent(program)],
        env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
    )
    assert ended.returncode == 0, (ended.returncode, ended.stderr)
    return ended.stdout.splitlines()


@pytest.fixture(scope="module")
def desktop(derived_networks):
    """Where PipeWire and its programs run without rights, with both buses and rtkit."""
    with TemporaryDirectory(prefix="stemd-") as folder, buses(Path(folder)) as both:
        environment = {"HOME": folder, "XDG_CACHE_HOME": str(derived_networks)}
        for bus in both:
            environment |= bus.environment
        with fake_rtkit(environment["DBUS_SYSTEM_BUS_ADDRESS"]):
            yield Path(folder), environment


@pytest.fixture
def bus(desktop):
    return desktop[1]["DBUS_SYSTEM_BUS_ADDRESS"]


@needs_priority
def test_threads_get_from_rtkit_what_the_kernel_refuses(bus):
    said = run(
        """
        ask, may_answer = module._busctl, threading.Event()
        module._busctl = lambda *arguments: may_answer.wait(PATIENCE_S) and ask(*arguments)
        print(priorities_below(20).engine)
        may_answer.set()
        wait_until(permitted_by_rtkit)
        wanted = priorities_below(88)
        print(wanted)
        ending = threading.Event()
        engine = RoleThread(Role.ENGINE, ending.wait, "stemd-engine", lambda: wanted.engine)
        loader = steering_thread(ending.wait, "stemd-load", is_long=True)
        engine.start(), loader.start()
        set_steering_priority(wanted.steering)
        wait_until(lambda: priority_of(0) and priority_of(engine.native_id))
        print(scheduled(Role.ENGINE), priority_of(0), priority_of(loader.native_id))
        print(limits(resource.RLIMIT_RTTIME))
        ending.set()
        """,
        bus,
    )
    assert said[0] == "0", "it is not waited for"
    assert said[1] == f"Priorities(engine={HIGHEST}, steering={HIGHEST - 2}, workers={HIGHEST - 5})"
    assert said[2] == f"[({HIGHEST}, {HIGHEST})] {HIGHEST - 2} 0"
    assert said[3] == f"({LONGEST_US * 3 // 4}, {LONGEST_US})"


@needs_priority
def test_thread_that_runs_for_too_long_loses_its_priority_and_not_the_daemon_its_life(bus):
    said = run(
        """
        rtkit.ask_terms().result(PATIENCE_S)
        wanted, going = 1, threading.Event()
        def blocks():
            going.wait(PATIENCE_S)
            compute()
        network = RoleThread(Role.NETWORKS, blocks, "stemd-vocals", lambda: wanted)
        network.start()
        wait_until(lambda: priority_of(network.native_id))
        print(priority_of(network.native_id), keep_scheduled(0.0))
        going.set()
        wait_until(overran_rtkit)
        print(priority_of(network.native_id), keep_scheduled(0.0), keep_scheduled(0.0))
        print(limits(resource.RLIMIT_RTTIME)[0], rtkit.overruns)
        network.join()
        """,
        bus,
    )
    assert said == ["1 False", "0 True False", f"{LONGEST_US * 3 // 4} 1"]


@needs_priority
def test_engine_has_its_priority_again_after_a_network_ran_for_too_long(bus):
    said = run(
        """
        rtkit.ask_terms().result(PATIENCE_S)
        ending = threading.Event()
        engine = RoleThread(Role.ENGINE, ending.wait, "stemd-engine", lambda: 3)
        network = RoleThread(Role.NETWORKS, compute, "stemd-vocals", lambda: 1)
        engine.start()
        wait_until(lambda: priority_of(engine.native_id))
        network.start()
        wait_until(overran_rtkit)
        print(priority_of(engine.native_id))
        keep_scheduled(0.0)
        wait_until(lambda: priority_of(engine.native_id))
        print(priority_of(engine.native_id))
        ending.set()
        network.join()
        """,
        bus,
    )
    assert said == ["0", "3"]


@needs_priority
def test_what_rtkit_refuses_for_too_many_requests_it_is_asked_for_again(desktop):
    with TemporaryDirectory(prefix="stemd-") as folder, buses(Path(folder)) as (_, system):
        address = system.environment["DBUS_SYSTEM_BUS_ADDRESS"]
        with fake_rtkit(address, burst=3) as service:
            said = run(
                f"""
                rtkit.ask_terms().result(PATIENCE_S)
                ending = threading.Event()
                threads = [
                    RoleThread(Role.NETWORKS, ending.wait, "stemd-vocals", lambda: 2)
                    for _ in range(4)
                ]
                for thread in threads:
                    thread.start()
                wait_until(lambda: threads[-1].native_id and not rtkit.is_asked)
                granted = lambda: sum(actual for _, actual in scheduled(Role.NETWORKS)) // 2
                print(granted())
                keep_scheduled(0.0)
                os.kill({service.pid}, signal.SIGUSR1)
                keep_scheduled(scheduling.RETRY_S - 1)
                print(rtkit.is_asked)
                keep_scheduled(scheduling.RETRY_S + 1)
                wait_until(lambda: granted() == len(threads))
                print(granted())
                ending.set()
                """,
                address,
            )
    assert said == ["3", "False", "4"]


@needs_priority
@pytest.mark.parametrize("burst", [0, 1])
def test_whether_rtkit_grants_anything_is_tried(burst):
    """For it says what it permits also where others have used up what it grants one user."""
    with TemporaryDirectory(prefix="stemd-") as folder, buses(Path(folder)) as (_, system):
        address = system.environment["DBUS_SYSTEM_BUS_ADDRESS"]
        with fake_rtkit(address, burst):
            said = run(
                """
                print(rtkit.ask_terms().result(PATIENCE_S).highest, rtkit.grants())
                print(priority_of(0), rtkit.is_asked)
                """,
                address,
            )
    assert said == [f"{HIGHEST} {burst > 0}", "0 False"]


@needs_priority
def test_on_a_desktop_where_rtkit_grants_no_more_that_is_said_with_the_remedy(derived_networks):
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="stemd-")))
        environment = {"HOME": str(folder), "XDG_CACHE_HOME": str(derived_networks)}
        for bus in stack.enter_context(buses(folder)):
            environment |= bus.environment
        stack.enter_context(fake_rtkit(environment["DBUS_SYSTEM_BUS_ADDRESS"], burst=2))
        pipewire = servers.PipeWire(48_000, 1024, folder)
        pipewire.environment |= environment
        stack.enter_context(closing(pipewire))
        pipewire.start()
        options = ("--server", "pipewire", "--stems", "2")
        program = [*without_rights(), STEMD]
        stack.enter_context(running(pipewire.environment, *options, program=program))
        client = stack.enter_context(ControlClient(folder / "stemd" / "stemd.socket"))
        wait_until(lambda: "rtkit" in client.ask("status")["realtime"]["found"])
        realtime = client.ask("status")["realtime"]
        assert "install rtkit" not in realtime["remedy"]
        doctor = [*program, "doctor", "--seconds", "0", "--set", "jack.server=pipewire"]
        found = subprocess.run(
            doctor, env=pipewire.environment, capture_output=True, text=True, timeout=PATIENCE_S
        )
    assert "rtkit refuses it for now" in found.stdout


@needs_priority
def test_rtkit_that_always_refuses_is_asked_less_and_less_often():
    said = run(
        """
        asked, ending = [], threading.Event()
        module._busctl = lambda *arguments: asked.append(arguments) or ""
        engine = RoleThread(Role.ENGINE, ending.wait, "stemd-engine", lambda: 3)
        engine.start()
        wait_until(lambda: asked and not rtkit.is_asked)
        before, times = len(asked), []
        for now in range(2000):
            keep_scheduled(float(now))
            wait_until(lambda: not rtkit.is_asked)
            if len(asked) > before:
                before = len(asked)
                times.append(now)
        print([later - now for now, later in zip(times, times[1:])])
        ending.set()
        """,
        "x:",
        GRANTED,
    )
    assert said == ["[42, 84, 168, 300, 300, 300, 300, 300]"]


@needs_priority
def test_threads_that_have_ended_take_no_place_from_others():
    said = run(
        """
        for _ in range(70):
            ending = threading.Event()
            engine = RoleThread(Role.ENGINE, ending.wait, "stemd-engine", lambda: 3)
            engine.start()
            wait_until(lambda: priority_of(engine.native_id))
            print(priority_of(engine.native_id))
            ending.set()
            engine.join()
        """,
        "x:",
        GRANTED,
    )
    assert said == ["3"] * 70


@needs_priority
def test_thread_that_is_to_be_normal_meanwhile_does_not_get_what_was_asked_for():
    said = run(
        """
        wanted = 0
        engine.reschedule()
        answer.set()
        wait_until(lambda: not priority_of(engine.native_id) and not rtkit._is_asking.locked())
        print(priority_of(engine.native_id), rtkit.is_asked)
        """,
        "x:",
        ASKED,
    )
    assert said == ["0 False"]


@needs_priority
def test_thread_that_gets_its_priority_after_an_overrun_is_guarded_all_the_same():
    said = run(
        """
        module.lib.rt_guard(150_000, 200_000)
        os.kill(os.getpid(), signal.SIGXCPU)
        answer.set()
        wait_until(lambda: not rtkit.is_asked)
        print(priority_of(engine.native_id))
        os.kill(os.getpid(), signal.SIGXCPU)
        print(priority_of(engine.native_id))
        """,
        "x:",
        ASKED,
    )
    assert said == ["3", "0"]


def test_rtkit_is_asked_again_where_it_has_granted_nothing(monkeypatch):
    answers = iter(["", "i 20\nx 200000\n"])
    monkeypatch.setattr(rtkit, "_busctl", lambda *_: next(answers))
    monkeypatch.setattr(rtkit, "lib", SimpleNamespace(rt_guard=lambda *_: 1))
    kit = rtkit.RealtimeKit(lambda job: job())
    assert [kit.ask_terms().result(0).highest for _ in range(3)] == [0, 20, 20]


@pytest.mark.parametrize("address", ["unix:path=/nowhere/bus", "nonsense"])
def test_without_a_bus_there_is_nothing_and_no_error(address):
    assert run("print(rtkit.ask_terms().result(PATIENCE_S))", address) == [
        "Terms(highest=0, longest_us=0)"
    ]


def test_without_busctl_too():
    said = run(
        "os.environ['PATH'] = '/nowhere'; print(rtkit.ask_terms().result(PATIENCE_S).highest)", "x:"
    )
    assert said == ["0"]


@needs_priority
def test_on_a_desktop_without_limits_every_role_has_its_priority(desktop):
    folder, environment = desktop
    pipewire = servers.PipeWire(48_000, 1024, folder)
    pipewire.environment |= environment
    options = ("--server", "pipewire", "--stems", "2")
    path = folder / "stemd" / "stemd.socket"
    with ExitStack() as stack:
        stack.enter_context(closing(pipewire))
        pipewire.start()
        program = [*without_rights(), STEMD]
        stack.enter_context(running(pipewire.environment, *options, program=program))
        client = stack.enter_context(ControlClient(path))
        wait_until(lambda: client.ask("status")["realtime"]["missing"] == ["memory"])
        realtime = client.ask("status")["realtime"]
    assert realtime["server"] == HIGHEST, "PipeWire has it from rtkit, too"
    granted = [realtime[role]["granted"] for role in ("engine", "steering", "networks")]
    assert granted == [HIGHEST - 5, HIGHEST - 7, HIGHEST - 10]
