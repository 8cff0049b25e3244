"""What the doctor finds, what it says to do, and its exit code."""

import json
import os
import threading
from types import SimpleNamespace

import pytest

from damaged import damaged_four_stems
from fake_daemon import FakeDaemon
from statuses import status
from stemd.daemon.capacity import checks as capacity_checks
from stemd.daemon.capacity import profiles
from stemd.daemon.capacity.benchmark import Measurement
from stemd.daemon.cli import examination, systemd_service
from stemd.daemon.cli.examination import Weight, examine
from stemd.daemon.cli.options import ConfigSource
from stemd.daemon.cli.systemd_service import Condition, Service
from stemd.daemon.control import socket_paths
from stemd.daemon.control.interfaces.control_server import ControlServer
from stemd.daemon.engine import checks as engine_checks
from stemd.tflite_models.errors import ModelError
from waiting import PATIENCE_S
from warm_commands import warm_commands


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


def test_networks_are_checked_and_run():
    found = find("networks", "separation.stems=2")
    assert found.weight is Weight.GOOD
    assert "2stems (bundled)" in found.found
    assert "a load of 20%" in find("speed").found


def test_wrong_configuration_is_bad_and_the_rest_is_looked_at_all_the_same(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text("jack: {servr: jack}\nseparation: {stems: three}")
    findings = list(examine(ConfigSource(path)))
    assert findings[0].weight is Weight.BAD
    assert "did you mean server?" in findings[0].found
    assert "separation.stems" in findings[0].found
    assert {each.about for each in findings} >= {"networks", "server", "real time", "processor"}


def test_networks_that_a_profile_cannot_choose_from_are_a_finding_like_others(monkeypatch):
    def closed(*_):
        raise ModelError("models: Permission denied; make it readable")

    monkeypatch.setattr(profiles, "choose_networks", closed)
    found = list(examine(ConfigSource(None, ("separation.profile=auto",))))
    (networks,) = (each for each in found if each.about == "networks")
    assert networks.weight is Weight.BAD
    assert "make it readable" in networks.found
    assert {each.about for each in found} >= {"configuration", "server", "real time", "processor"}


def test_all_problems_of_the_configuration_are_findings(tmp_path):
    damaged_four_stems(tmp_path)
    settings = ("separation.stems=4", "separation.T=100", "control.state_file=~nobodyknows/x")
    bad = [each for each in examine(ConfigSource(None, settings)) if each.weight is Weight.BAD]
    found = " ".join(each.found for each in bad)
    assert "run `stemd models install 4stems`" in found
    assert "T must be a multiple of 64" in found
    assert "control.state_file: there is no home folder" in found


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        (["separation.stems=2", "jack.server=dummy"], 0),
        (["separation.stems=4", "jack.server=dummy"], 1),
    ],
)
def test_exit_code_and_json(settings, status, tmp_path):
    damaged_four_stems(tmp_path)
    options = [word for setting in settings for word in ("--set", setting)]
    ended = warm_commands().run(["doctor", "--json", *options], dict(os.environ))
    assert ended.returncode == status, ended.stderr
    findings = json.loads(ended.stdout)
    assert any(each["weight"] == "bad" for each in findings) == bool(status)


def test_that_nothing_is_played_on_a_private_server_is_told():
    last = list(examine(ConfigSource(None, ("jack.server=dummy",)), 5.0))[-1]
    assert (last.about, last.weight) == ("playing", Weight.GOOD)
    assert last.found.startswith("not measured: each daemon has a private server")


def test_each_finding_is_printed_with_its_remedy(capsys):
    with pytest.raises(SystemExit) as ended:
        examination.print_findings(ConfigSource(None, ("separation.stems=2",)), 0, False)
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "✓ networks: 2stems (bundled)" in said
    assert "✗ server: none answers\n  → start JACK or PipeWire" in said


@pytest.fixture
def daemon(tmp_path):
    """One that answers where stemd listens by itself."""
    made = FakeDaemon()
    made.figures = {
        "blocks": {"total": 5000, "late": 1},
        "engine": {"late_periods": 0},
        "load": {"vocals": 0.07, "engine": 0.01},
    }
    server = ControlServer(tmp_path / "stemd" / "stemd.socket", made)
    server.start()
    yield made
    server.close()


def test_one_that_runs_is_asked_how_it_is(daemon):
    found = find("daemon")
    assert found.found == ("playing on JACK 1.9.21, 1 of 5000 blocks and 0 periods late, 2 xruns")
    assert found.weight is Weight.GOOD


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
    daemon.raw = {**status(), "version": "9", **changed}
    assert "is of another version (9) than this command: restart it" in find("daemon").found


def test_nothing_is_measured_beside_one_that_plays(daemon, monkeypatch):
    monkeypatch.setattr(capacity_checks, "measured", lambda work: pytest.fail("it would be late"))
    assert find("speed").found.endswith("its load: vocals 7%, engine 1%")
    assert find("precision").found == f"mixed, because {status()['why_precision']}"


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
        go.wait(PATIENCE_S)
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
