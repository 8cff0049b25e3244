"""`stemd run` as a user runs it: it plays on what answers, and waits where nothing does."""

import os
import pty
import re
import signal
import subprocess
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from time import sleep

import jack
import pytest

from processes import READY, end, process_of, running, stop
from stemd.daemon.control.client import ControlClient
from stemd.daemon.graph.patchbay import SETTLED_S
from stemd.daemon.graph.private_server import private_server
from waiting import PATIENCE_S, wait_for, wait_until


@pytest.fixture
def server():
    with private_server(blocksize=512, realtime=False) as name:
        yield name


def bystander(server: str, name: str = "bystander"):
    """A client of a server, as long as the context lasts."""
    return closing(jack.Client(name, no_start_server=True, servername=server))


@pytest.mark.parametrize(
    ("number", "samplerate"), [(signal.SIGINT, 44_100), (signal.SIGTERM, 48_000)]
)
def test_run_plays_on_the_server_that_answers_and_stops_when_asked(environment, number, samplerate):
    with (
        private_server(samplerate, 512, realtime=False) as server,
        running(environment, JACK_DEFAULT_SERVER=server) as (process, log),
    ):
        client = rf"client stemd on JACK .*, {samplerate} Hz, 512 frames"
        assert any(re.match(client, line) for line in log.lines())
        log.find("separating into vocals, accompaniment with a delay of ")
        with bystander(server) as other:
            ports = [port.shortname for port in other.get_ports("^stemd:")]
            assert ports == [
                *("in_L", "in_R", "vocals_L", "vocals_R", "accompaniment_L", "accompaniment_R")
            ]
            assert stop(process, number) == 0
            # Nor does anything complain after that of what was left.
            assert re.search(r"\nplayed \d+\.\d s: 0 of .*\n\Z", log.read())
            assert other.get_ports("^stemd:") == []


def test_a_terminal_that_is_closed_ends_it(environment, server):
    ours, its = pty.openpty()
    with running(environment, stdin=its, JACK_DEFAULT_SERVER=server) as (process, _):
        assert stop(process, signal.SIGHUP) == 128 + signal.SIGHUP
    os.close(ours)
    os.close(its)


def test_run_connects_by_its_patterns(environment, server):
    patterns = "jack.autoconnect={in_L: 'system:capture_1', vocals_R: '.*:playback_[2-9]'}"
    made = "connected stemd:vocals_R to system:playback_2"
    with running(environment, "--set", patterns, JACK_DEFAULT_SERVER=server) as (_, log):
        log.wait_for(made)
        with bystander(server) as other:
            connected = other.get_all_connections("stemd:in_L")
            assert [port.name for port in connected] == ["system:capture_1"]


def test_no_name_of_another_program_keeps_it_from_its_work(environment, server):
    patterns = "jack.autoconnect={in_L: 'player:(a+)+', in_R: '(.*)*:(a|aa)+$'}"
    with (
        running(environment, "--set", patterns, JACK_DEFAULT_SERVER=server) as (_, log),
        bystander(server, "player") as player,
    ):
        player.outports.register("a" * 200 + "!")
        player.outports.register("a" * 30)
        player.activate()
        log.wait_for(f"connected player:{'a' * 30} to stemd:in_L")
        log.wait_for(f"connected player:{'a' * 30} to stemd:in_R")


def test_autoconnect_can_be_switched_off(environment, server):
    pattern = "jack.autoconnect={drums_L: '.*'}"
    arguments = ("--no-autoconnect", "--set", pattern)
    with running(environment, *arguments, JACK_DEFAULT_SERVER=server) as (_, log):
        assert "autoconnect" not in log.read()  # or it would warn of drums_L


def test_run_warns_of_ports_that_it_does_not_have(environment, server):
    pattern = "jack.autoconnect={drums_L: '.*'}"
    with running(environment, "--set", pattern, JACK_DEFAULT_SERVER=server) as (_, log):
        assert "jack.autoconnect.drums_L: connects nothing, with 2 stems" in log.lines()


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_run_warns_of_settings_for_stems_and_controllers_that_are_not_there(
    environment, server, enabled
):
    settings = (
        "mixer.strips={drums: {mute: true}, vocals: {gain: -3}}",
        "midi.bindings=[{cc: 7, does: gain, stem: bass}, {cc: 8, does: bypass}]",
        "midi.feedback=true",
        f"midi.enabled={enabled}",
    )
    options = [option for setting in settings for option in ("--set", setting)]
    with running(environment, "--stems", "2", *options, JACK_DEFAULT_SERVER=server) as (_, log):
        said = [line for line in log.lines() if line.startswith(("mixer", "midi"))]
    expected = [
        "mixer.strips.drums: changes nothing, with 2 stems",
        "midi.bindings: controller 7 is bass gain, and does nothing, with 2 stems",
        "midi.bindings: do nothing, for midi.enabled is false",
        "midi.feedback: does nothing, for midi.enabled is false",
    ]
    assert said == (expected if enabled == "false" else expected[:2])


PORTS = {"midi_in": "midi.enabled", "midi_out": "midi.feedback", "mix_R": "jack.mix_ports"}
"""Ports that are there if a setting says so; each warning names both."""


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_ports_may_be_connected_where_they_are_enabled(environment, server, enabled):
    patterns = ", ".join(f"{port}: '.*'" for port in PORTS)
    settings = [f"jack.autoconnect={{{patterns}}}", *(f"{key}={enabled}" for key in PORTS.values())]
    options = [word for setting in settings for word in ("--set", setting)]
    with running(environment, *options, JACK_DEFAULT_SERVER=server) as (_, log):
        warned = {line for line in log.lines() if "connects nothing" in line}
    expected = {
        f"jack.autoconnect.{port}: connects nothing, for {key} is false"
        for port, key in PORTS.items()
    }
    assert warned == (expected if enabled == "false" else set())


def test_server_without_room_for_the_ports_is_one_clear_line(stemd):
    with (
        private_server(blocksize=512, realtime=False) as name,
        bystander(name, "crowd") as crowd,
    ):
        with suppress(jack.JackError):
            for n in range(128):
                crowd.outports.register(f"out_{n}")
        ended = stemd("run", JACK_DEFAULT_SERVER=name)
    assert ended.returncode == 1
    assert re.search(
        r"^stemd: the JACK .* server refused the ports: .*--port-max", ended.stderr, re.M
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_run_waits_for_the_next_server_and_restores_what_was_connected(environment, number):
    users = ("stemd:vocals_L", "system:playback_1")
    with ExitStack() as stack:
        with private_server(blocksize=512, realtime=False) as name:
            _, log = stack.enter_context(running(environment, JACK_DEFAULT_SERVER=name))
            with bystander(name) as other:
                other.connect(*users)
                wait_until(lambda: connected(other, *users))
            path = Path(environment["XDG_RUNTIME_DIR"]) / "stemd" / "stemd.socket"
            with ControlClient(path) as client:
                wait_until(lambda: [*users] in client.ask("status")["connections"])
            sleep(SETTLED_S)  # only what has lasted is restored
            os.kill(process_of(name), number)
            log.wait_for("the server went away")
            log.wait_for("waiting for a server: no JACK server named ")
        with private_server(blocksize=512, realtime=False) as again:
            assert again == name
            log.wait_for(READY)
            with bystander(name) as other:
                wait_until(lambda: connected(other, *users))


def connected(client, source: str, destination: str) -> bool:
    return destination in [port.name for port in client.get_all_connections(source)]


def test_run_starts_a_private_server_when_asked_to(environment):
    with (
        running(environment, "--server", "dummy") as (_, log),
        bystander(private_name(log)) as other,
    ):
        assert len(other.get_ports("^stemd:")) == 6


def private_name(log) -> str:
    (name,) = re.findall(r"find it by JACK_DEFAULT_SERVER=(\S+)", log.read())
    return name


def test_run_on_a_private_server_that_dies_ends_with_1(environment):
    with running(environment, "--server", "dummy") as (process, log):
        os.kill(process_of(private_name(log)), signal.SIGKILL)
        assert process.wait(PATIENCE_S) == 1
        log.find("stemd: the private JACK server ended: ")


@pytest.mark.parametrize("arguments", [[], ["--server", "pipewire"]], ids=["auto", "pipewire"])
def test_run_plays_on_pipewire(environment, arguments, tmp_path):
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path)}
    tmp_path.chmod(0o700)
    pipewire = subprocess.Popen(["pipewire"], env={**environment, **runtime})
    try:
        wait_for(tmp_path / "pipewire-0")
        with running(environment, *arguments, **runtime) as (_, log):
            log.find("PipeWire")
            listed = subprocess.run(
                ["pw-link", "--input", "--output"],
                env={**environment, **runtime},
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
            )
            assert "stemd:accompaniment_R" in listed.stdout.splitlines()
    finally:
        end(pipewire)
