"""What the doctor finds, what it says to do, and its exit code."""

import json
import os
import resource
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from damaged import damaged_four_stems
from fake_daemon import FakeDaemon
from stemd.daemon.capacity import checks as capacity_checks
from stemd.daemon.capacity.benchmark import Measurement
from stemd.daemon.cli import examination, systemd_service
from stemd.daemon.cli.examination import Weight, examine
from stemd.daemon.cli.options import ConfigSource
from stemd.daemon.cli.systemd_service import Condition, Service
from stemd.daemon.control import checks as control_checks
from stemd.daemon.control import socket_paths
from stemd.daemon.control.interfaces.control_server import ControlServer
from stemd.daemon.engine import checks as engine_checks
from stemd.daemon.engine import rights
from stemd.daemon.engine.link import RealtimeSide
from stemd.daemon.errors import StemdError
from stemd.daemon.graph import libjack
from stemd.daemon.graph.private_server import private_server

STEMD = Path(sys.executable).with_name("stemd")


@pytest.fixture(autouse=True)
def patient(tmp_path, monkeypatch):
    """A machine with nothing wrong, no server, and folders of its own."""
    for name in ("CONFIG", "DATA", "CACHE", "RUNTIME"):
        monkeypatch.setenv(f"XDG_{name}_{'DIR' if name == 'RUNTIME' else 'HOME'}", str(tmp_path))
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "nobody")
    monkeypatch.setattr(systemd_service, "SYSTEM_FOLDER", tmp_path / "units")
    monkeypatch.setattr(socket_paths, "SYSTEM_FOLDER", tmp_path / "run")
    monkeypatch.setattr(capacity_checks, "measured", lambda work: Measurement(0.2, 0.3, 1, 1, 100))
    monkeypatch.setattr(engine_checks, "may_have_priority", lambda priority: True)


def find(about: str, *settings: str, path=None):
    """What was found about something, which there is once."""
    (found,) = (each for each in examine(ConfigSource(path, settings)) if each.about == about)
    return found


def test_server_is_told_with_its_rate_period_and_priority(monkeypatch):
    monkeypatch.setattr(rights, "has_capability", lambda number: True)
    with private_server(48_000, 128, realtime=False) as name:
        os.environ["JACK_DEFAULT_SERVER"] = name
        found = find("server")
    assert "48000 Hz, 128 frames a period, without real-time priority" in found.found
    assert found.found.startswith("JACK ")
    assert found.weight is Weight.HINT
    assert "-R" in found.remedy


def test_limit_too_low_for_the_server_is_a_hint_with_what_is_wanted(monkeypatch):
    monkeypatch.setattr(engine_checks, "may_have_priority", lambda priority: priority <= 10)
    counters = RealtimeSide.counters
    monkeypatch.setattr(
        RealtimeSide, "counters", lambda rt: replace(counters(rt), priority=30, periods=1)
    )
    with private_server(realtime=False) as name:
        os.environ["JACK_DEFAULT_SERVER"] = name
        found = find("server")
    assert "may not have the 25 that it wants" in found.found
    assert found.weight is Weight.HINT
    assert find("real time").weight is Weight.GOOD


def test_no_server_is_no_fault():
    found = find("server")
    assert found.weight is Weight.HINT
    assert "waits for one" in found.remedy


def test_periods_beyond_the_longest_are_told():
    with private_server(blocksize=2048, realtime=False) as name:
        os.environ["JACK_DEFAULT_SERVER"] = name
        servers = [each for each in examine(ConfigSource()) if each.about == "server"]
    assert "2048 frames are longer than jack.longest_period (1024)" in servers[1].found


def test_networks_are_checked_and_run():
    found = find("networks", "separation.stems=2")
    assert found.weight is Weight.GOOD
    assert "2stems (bundled)" in found.found
    assert "a load of 20%" in find("speed").found


def test_damaged_networks_are_bad_and_the_remedy_is_a_command(tmp_path):
    damaged_four_stems(tmp_path)
    found = find("networks", "separation.stems=4")
    assert found.weight is Weight.BAD
    assert "run `stemd models install 4stems`" in found.found


def test_networks_that_cannot_run_are_bad(monkeypatch):
    def crash(work):
        raise StemdError("it was killed; install another runtime")

    monkeypatch.setattr(capacity_checks, "measured", crash)
    found = find("speed")
    assert (found.weight, found.found) == (Weight.BAD, "it was killed; install another runtime")


def test_slow_machine_gets_a_hint(monkeypatch):
    monkeypatch.setattr(capacity_checks, "measured", lambda work: Measurement(0.9, 1, 1, 1, 1))
    found = find("speed")
    assert found.weight is Weight.HINT
    assert "stemd bench" in found.remedy


def test_wrong_configuration_is_bad_and_the_rest_is_looked_at_all_the_same(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text("jack: {servr: jack}\nseparation: {stems: 3}")
    findings = list(examine(ConfigSource(path)))
    assert findings[0].weight is Weight.BAD
    assert "did you mean server?" in findings[0].found
    assert "separation.stems" in findings[0].found
    assert {each.about for each in findings} >= {"networks", "server", "real time", "processor"}


def test_missing_library_is_bad(monkeypatch):
    monkeypatch.setattr(libjack, "libraries", list)
    found = find("client library")
    assert found.weight is Weight.BAD
    assert "apt install" in found.found


def test_refused_real_time_is_a_hint_with_the_limit(monkeypatch):
    monkeypatch.setattr(engine_checks, "may_have_priority", lambda priority: False)
    limit, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    found = find("real time")
    assert found.weight is Weight.HINT
    assert str(limit) in found.found


@pytest.mark.parametrize(("runtime", "is_told"), [(950_000, False), (-1, False), (100_000, True)])
def test_throttling_of_real_time_is_told(tmp_path, monkeypatch, runtime, is_told):
    (tmp_path / "sched_rt_runtime_us").write_text(f"{runtime}\n")
    (tmp_path / "sched_rt_period_us").write_text("1000000\n")
    monkeypatch.setattr(engine_checks, "KERNEL", tmp_path)
    found = [each for each in examine(ConfigSource()) if each.about == "real-time throttling"]
    assert bool(found) == is_told
    if is_told:
        assert "after 10% of the time" in found[0].found
        assert "sched_rt_runtime_us=950000" in found[0].remedy


def test_limited_memory_is_a_hint(monkeypatch):
    monkeypatch.setattr(engine_checks, "may_lock_memory", lambda: False)
    monkeypatch.setattr(engine_checks.resource, "getrlimit", lambda which: (8 << 20, 8 << 20))
    assert "8192 kB" in find("locked memory").found


@pytest.mark.parametrize(
    ("governor", "driver", "weight"),
    [
        ("powersave", "acpi-cpufreq", Weight.HINT),
        ("powersave", "intel_pstate", Weight.GOOD),
        ("performance", "acpi-cpufreq", Weight.GOOD),
    ],
)
def test_slow_governor_is_told(tmp_path, monkeypatch, governor, driver, weight):
    (tmp_path / "scaling_governor").write_text(governor)
    (tmp_path / "scaling_driver").write_text(driver)
    monkeypatch.setattr(capacity_checks, "GOVERNOR", tmp_path)
    assert find("processor").weight is weight


@pytest.mark.parametrize(("setting", "status"), [("stems=2", 0), ("stems=4", 1)])
def test_exit_code_and_json(setting, status, tmp_path):
    damaged_four_stems(tmp_path)
    ended = subprocess.run(
        [STEMD, "doctor", "--json", "--set", f"separation.{setting}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == status, ended.stderr
    findings = json.loads(ended.stdout)
    assert any(each["weight"] == "bad" for each in findings) == bool(status)


def test_each_finding_is_printed_with_its_remedy(capsys):
    examination.print_findings(ConfigSource(None, ("separation.stems=2",)), 0, False)
    said = capsys.readouterr().out
    assert "✓ networks: 2stems (bundled)" in said
    assert "! server: none answers\n  → start JACK or PipeWire" in said


@pytest.fixture
def daemon(tmp_path):
    """One that answers where stemd listens by itself."""
    made = FakeDaemon()
    made.figures = {
        "state": "playing",
        "server": {"name": "JACK 1.9.21", "xruns": 2},
        "blocks": {"total": 5000, "late": 1},
        "engine": {"late_periods": 0},
        "load": {"vocals": 0.07, "engine": 0.01},
    }
    server = ControlServer(tmp_path / "stemd" / "stemd.socket", made)
    server.start()
    yield made
    server.close()


def test_no_daemon_is_no_fault():
    assert find("daemon").found == "none runs"


def test_one_that_runs_is_asked_how_it_is(daemon):
    found = find("daemon")
    assert found.found == ("playing on JACK 1.9.21, 1 of 5000 blocks and 0 periods late, 2 xruns")
    assert found.weight is Weight.GOOD


@pytest.mark.parametrize(
    ("what", "figures", "remedy"),
    [
        ("blocks", {"total": 5000, "late": 6}, "stemd bench"),
        ("engine", {"late_periods": 1}, "real-time priority"),
        ("server", {"name": "JACK", "xruns": 0, "bad_samples": 3}, "the program before stemd"),
        ("server", {"name": "JACK", "xruns": 0, "bad_outputs": 3}, "install its set anew"),
        ("blocks", {"total": 50, "late": 0, "bad_estimates": 3}, "install its set anew"),
    ],
)
def test_one_that_is_late_gets_a_hint(daemon, what, figures, remedy):
    daemon.figures[what] = figures
    found = find("daemon")
    assert found.weight is Weight.HINT
    assert remedy in found.remedy


def test_what_patterns_match_is_told_by_one_that_plays(daemon):
    daemon.figures |= {
        "autoconnect": {
            "in_L": {"pattern": "mpv:.*", "matches": ["mpv:out_0"], "nearest": []},
            "in_R": {"pattern": "mpv:outR", "matches": [], "nearest": ["mpv:out_0"]},
        },
        "disconnected": [["mpv:out_0", "stemd:in_L"]],
    }
    matching, lacking, taken = (
        each for each in examine(ConfigSource()) if each.about == "connections"
    )
    assert matching.found == "jack.autoconnect.in_L: 'mpv:.*' matches mpv:out_0"
    assert matching.weight is Weight.GOOD
    assert lacking.found == (
        "jack.autoconnect.in_R: 'mpv:outR' matches no port; the nearest: mpv:out_0"
    )
    assert lacking.weight is Weight.HINT
    assert taken.found == "mpv:out_0 to stemd:in_L was disconnected, and is left so"
    assert "stemd reload" in taken.remedy


def test_what_patterns_match_is_found_in_the_graph():
    wish = "jack.autoconnect={in_L: 'system:capture_[1]', vocals_L: 'system:playbak_1'}"
    with private_server(realtime=False) as name:
        os.environ["JACK_DEFAULT_SERVER"] = name
        found = [
            each.found
            for each in examine(ConfigSource(None, (wish,)))
            if each.about == "connections"
        ]
    assert found == [
        "jack.autoconnect.in_L: 'system:capture_[1]' matches system:capture_1",
        "jack.autoconnect.vocals_L: 'system:playbak_1' matches no port; the nearest: "
        "system:playback_1, system:playback_2",
    ]


def test_one_that_waits_is_told(daemon):
    daemon.figures = {"state": "waiting", "server": None}
    assert find("daemon").found == "waiting for a server"


@pytest.mark.parametrize(
    "changed",
    [
        {"server": {}},
        {"load": 1},
        {"blocks": {}},
        {"realtime": 1},
        {"autoconnect": {"in_L": {}}},
        {"disconnected": [1]},
    ],
)
def test_one_of_another_version_is_told(daemon, changed):
    daemon.figures |= {"version": "9", **changed}
    assert "is of another version (9) than this command: restart it" in find("daemon").found


def test_nothing_is_measured_beside_one_that_plays(daemon, monkeypatch):
    monkeypatch.setattr(capacity_checks, "measured", lambda work: pytest.fail("it would be late"))
    assert find("speed").found.endswith("its load: vocals 7%, engine 1%")


def test_what_is_left_of_one_is_no_daemon(tmp_path):
    (tmp_path / "stemd").mkdir()
    (tmp_path / "stemd" / "stemd.socket").touch()
    assert find("daemon").found == "none runs"


def test_one_that_hangs_is_told_soon(tmp_path, monkeypatch):
    monkeypatch.setattr(control_checks, "ANSWER_S", 0.05)
    (tmp_path / "stemd").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "stemd" / "stemd.socket"))
        listening.listen()
        found = find("daemon")
    assert found.weight is Weight.HINT
    assert "it may hang" in found.found


def test_without_proc_it_ends_with_what_to_mount(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_checks, "PROC", tmp_path / "proc")
    last = list(examine(ConfigSource(), 5.0))[-1]
    assert last.weight is Weight.BAD
    assert last.remedy == "mount it: sudo mount -t proc proc /proc"


def test_service_that_is_not_installed_is_no_fault():
    assert find("service").found == "not installed (stemd service install)"


@pytest.mark.parametrize(
    ("is_down", "troubles", "weight"),
    [
        (False, (), Weight.GOOD),
        (False, ("restarted 3 times",), Weight.HINT),
        (True, ("restarted 3 times",), Weight.BAD),
    ],
)
def test_service_is_asked_how_it_is(monkeypatch, is_down, troubles, weight):
    condition = Condition("active (running), enabled", "playing on JACK", is_down, troubles)
    monkeypatch.setattr(Service, "is_installed", property(lambda each: not each.system_wide))
    monkeypatch.setattr(Service, "condition", lambda _: condition)
    found = find("service")
    assert found.found == "active (running), enabled\nplaying on JACK"
    assert found.weight is weight


@pytest.mark.parametrize(
    ("state", "is_down"),
    [
        (("active", "running"), False),
        (("failed", "failed"), True),
        (("activating", "auto-restart"), True),
        (("activating", "start"), False),
    ],
)
def test_service_that_fails_again_and_again_is_down(monkeypatch, tmp_path, state, is_down):
    told = f"ActiveState={state[0]}\nSubState={state[1]}\nNRestarts=0"
    monkeypatch.setattr(systemd_service, "run", lambda command: told)
    (tmp_path / "units").mkdir()
    (tmp_path / "units" / "stemd.service").touch()
    assert Service(system_wide=True).condition().is_down is is_down


def test_a_server_that_hangs_is_told(monkeypatch):
    go = threading.Event()

    def hang(*_):
        go.wait(30)
        yield from ()

    monkeypatch.setattr(examination, "HUNG_S", 0.01)
    monkeypatch.setattr(examination, "check_server", hang)
    monkeypatch.setattr(examination.libjack, "libraries", lambda: [SimpleNamespace(kind="jack")])
    (found,) = examination._servers(examination.Config(), ["jack"])
    go.set()
    assert found.weight is Weight.BAD
    assert "it hangs" in found.found


def test_what_goes_wrong_while_a_server_is_looked_at_is_no_server_that_hangs(monkeypatch):
    def fail(*_):
        raise ZeroDivisionError
        yield

    monkeypatch.setattr(examination, "check_server", fail)
    monkeypatch.setattr(examination.libjack, "libraries", lambda: [SimpleNamespace(kind="jack")])
    with pytest.raises(ZeroDivisionError):
        examination._servers(examination.Config(), ["jack"])


def test_pipewire_without_its_library_is_bad_and_the_command_is_told(tmp_path, monkeypatch):
    jack = [each for each in libjack.libraries() if each.kind == "jack"]
    monkeypatch.setattr(libjack, "libraries", lambda: jack)
    monkeypatch.delenv("PIPEWIRE_REMOTE", raising=False)
    monkeypatch.delenv("PIPEWIRE_RUNTIME_DIR", raising=False)
    with socket.socket(socket.AF_UNIX) as pipewire:
        pipewire.bind(str(tmp_path / "pipewire-0"))
        pipewire.listen()
        (found,) = (each for each in examine(ConfigSource()) if each.weight is Weight.BAD)
    assert "PipeWire runs, but its client library (libjack.so.0)" in found.found
    assert "pipewire-jack" in found.found
