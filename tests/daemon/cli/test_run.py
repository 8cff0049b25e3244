"""`stemd run` as a user runs it: it plays on what answers, and waits where nothing does."""

import os
import pty
import re
import signal
import subprocess
import time
from contextlib import ExitStack, suppress

import jack
import pytest

from processes import READY, STEMD, await_line, process_of, running
from stemd.daemon.graph.private_server import private_server
from waiting import wait_for, wait_until


@pytest.fixture
def server():
    with private_server(blocksize=512, realtime=False) as name:
        yield name


@pytest.mark.parametrize(
    ("number", "samplerate"), [(signal.SIGINT, 44_100), (signal.SIGTERM, 48_000)]
)
def test_run_plays_on_the_server_that_answers_and_stops_when_asked(environment, number, samplerate):
    with (
        private_server(samplerate, 512, realtime=False) as server,
        running(environment, JACK_DEFAULT_SERVER=server) as (process, log),
    ):
        client = rf"client stemd on JACK .*, {samplerate} Hz, 512 frames"
        assert any(re.match(client, line) for line in log)
        assert log[-1].startswith("separating into vocals, accompaniment with a delay of ")
        bystander = jack.Client("bystander", no_start_server=True, servername=server)
        ports = [port.shortname for port in bystander.get_ports("^stemd:")]
        assert ports == [
            *("in_L", "in_R", "vocals_L", "vocals_R", "accompaniment_L", "accompaniment_R")
        ]
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
        # Nor does anything complain after that of what was left.
        assert re.fullmatch(r"played \d+\.\d s: 0 of .*\n", process.stderr.read())
        assert bystander.get_ports("^stemd:") == []
        bystander.close()


def test_a_terminal_that_is_closed_ends_it(environment, server):
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [STEMD, "run"],
        env={**environment, "JACK_DEFAULT_SERVER": server},
        stdin=its,
        stderr=subprocess.PIPE,
        text=True,
    )
    await_line(process, READY)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGHUP
    os.close(ours)
    os.close(its)


def test_run_connects_by_its_patterns(environment, server):
    patterns = "jack.autoconnect={in_L: 'system:capture_1', vocals_R: '.*:playback_[2-9]'}"
    made = "connected stemd:vocals_R to system:playback_2"
    with running(environment, "--set", patterns, JACK_DEFAULT_SERVER=server) as (process, _):
        await_line(process, made)
        bystander = jack.Client("bystander", no_start_server=True, servername=server)
        connected = bystander.get_all_connections("stemd:in_L")
        assert [port.name for port in connected] == ["system:capture_1"]
        bystander.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_no_name_of_another_program_keeps_it_from_its_work(environment, server):
    patterns = "jack.autoconnect={in_L: 'player:(a+)+', in_R: '(.*)*:(a|aa)+$'}"
    with running(environment, "--set", patterns, JACK_DEFAULT_SERVER=server) as (process, _):
        player = jack.Client("player", no_start_server=True, servername=server)
        player.outports.register("a" * 200 + "!")
        player.outports.register("a" * 30)
        player.activate()
        await_line(process, f"connected player:{'a' * 30} to stemd:in_L")
        await_line(process, f"connected player:{'a' * 30} to stemd:in_R")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        player.close()


def test_autoconnect_can_be_switched_off(environment, server):
    pattern = "jack.autoconnect={drums_L: '.*'}"
    arguments = ("--no-autoconnect", "--set", pattern)
    with running(environment, *arguments, JACK_DEFAULT_SERVER=server) as (_, log):
        assert not any("autoconnect" in line for line in log)  # or it would warn of drums_L


def test_run_warns_of_ports_that_it_does_not_have(environment, server):
    pattern = "jack.autoconnect={drums_L: '.*'}"
    with running(environment, "--set", pattern, JACK_DEFAULT_SERVER=server) as (_, log):
        assert "jack.autoconnect.drums_L: connects nothing, with 2 stems\n" in log


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_run_warns_of_settings_for_stems_and_controllers_that_are_not_there(
    environment, server, enabled
):
    settings = (
        "mixer.strips={drums: {mute: true}, vocals: {gain: -3}}",
        "midi.bindings=[{cc: 7, does: gain, stem: bass}, {cc: 8, does: bypass}]",
        f"midi.enabled={enabled}",
    )
    options = [option for setting in settings for option in ("--set", setting)]
    with running(environment, "--stems", "2", *options, JACK_DEFAULT_SERVER=server) as (_, log):
        said = [line for line in log if line.startswith(("mixer", "midi"))]
    expected = [
        "mixer.strips.drums: changes nothing, with 2 stems\n",
        "midi.bindings: controller 7 is bass gain, and does nothing, with 2 stems\n",
        "midi.bindings: do nothing, for midi.enabled is false\n",
    ]
    assert said == (expected if enabled == "false" else expected[:2])


@pytest.mark.parametrize(("enabled", "warned"), [("true", False), ("false", True)])
def test_midi_may_be_connected_where_it_is_enabled(environment, server, enabled, warned):
    settings = ["--set", "jack.autoconnect={midi_in: '.*'}", "--set", f"midi.enabled={enabled}"]
    with running(environment, *settings, JACK_DEFAULT_SERVER=server) as (_, log):
        line = "jack.autoconnect.midi_in: connects nothing, for midi.enabled is false\n"
        assert (line in log) is warned
        assert not any("stems" in each for each in log if "autoconnect" in each)


def test_server_without_room_for_the_ports_is_one_clear_line(environment, tmp_path):
    with private_server(blocksize=512, realtime=False) as name:
        crowd = jack.Client("crowd", no_start_server=True, servername=name)
        with suppress(jack.JackError):
            for n in range(128):
                crowd.outports.register(f"out_{n}")
        ended = subprocess.run(
            [STEMD, "run"],
            env={**environment, "JACK_DEFAULT_SERVER": name},
            capture_output=True,
            text=True,
        )
        crowd.close()
    assert ended.returncode == 1
    assert re.search(
        r"^stemd: the JACK .* server refused the ports: .*--port-max", ended.stderr, re.M
    )
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_run_waits_for_the_next_server_and_restores_what_was_connected(environment, number):
    users = ("stemd:vocals_L", "system:playback_1")
    with ExitStack() as stack:
        with private_server(blocksize=512, realtime=False) as name:
            process, _ = stack.enter_context(running(environment, JACK_DEFAULT_SERVER=name))
            bystander = jack.Client("bystander", no_start_server=True, servername=name)
            bystander.connect(*users)
            wait_until(lambda: connected(bystander, *users))
            bystander.close()
            time.sleep(1.5)  # a connection must have lasted to be restored
            os.kill(process_of(name), number)
            await_line(process, "the server went away")
            await_line(process, "waiting for a server: no JACK server named ")
        with private_server(blocksize=512, realtime=False) as again:
            assert again == name
            await_line(process, READY)
            bystander = jack.Client("bystander", no_start_server=True, servername=name)
            wait_until(lambda: connected(bystander, *users))
            bystander.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0


def connected(client, source: str, destination: str) -> bool:
    return destination in [port.name for port in client.get_all_connections(source)]


def test_run_starts_a_private_server_when_asked_to(environment):
    with running(environment, "--server", "dummy") as (process, log):
        (name,) = re.findall(r"find it by JACK_DEFAULT_SERVER=(\S+)", "".join(log))
        bystander = jack.Client("bystander", no_start_server=True, servername=name)
        assert len(bystander.get_ports("^stemd:")) == 6
        bystander.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_run_on_a_private_server_that_dies_ends_with_1(environment):
    with running(environment, "--server", "dummy") as (process, log):
        (name,) = re.findall(r"find it by JACK_DEFAULT_SERVER=(\S+)", "".join(log))
        os.kill(process_of(name), signal.SIGKILL)
        assert process.wait(timeout=10) == 1
        assert "stemd: the private JACK server ended: " in process.stderr.read()


@pytest.mark.parametrize("arguments", [[], ["--server", "pipewire"]], ids=["auto", "pipewire"])
def test_run_plays_on_pipewire(environment, arguments, tmp_path):
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path)}
    tmp_path.chmod(0o700)
    pipewire = subprocess.Popen(["pipewire"], env={**environment, **runtime})
    try:
        wait_for(tmp_path / "pipewire-0")
        with running(environment, *arguments, **runtime) as (process, log):
            assert any("PipeWire" in line for line in log)
            listed = subprocess.run(
                ["pw-link", "--input", "--output"],
                env={**environment, **runtime},
                capture_output=True,
                text=True,
            )
            assert "stemd:accompaniment_R" in listed.stdout.splitlines()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0
    finally:
        pipewire.terminate()
        pipewire.wait()
