"""The commands that steer a daemon that runs, as a user runs them."""

import json
import signal
import socket
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest
from click.shell_completion import get_completion_class
from click.testing import CliRunner

from fake_daemon import FakeDaemon
from logged import Log
from processes import STEMD, end, running, stop
from statuses import status
from stemd.daemon.cli import steer
from stemd.daemon.cli.commands import stemd as cli
from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.client import ControlClient
from stemd.daemon.control.interfaces import conversation
from stemd.daemon.control.interfaces.control_server import ControlServer
from stemd.daemon.graph.private_server import private_server
from stemd.daemon.ports import STEMS
from waiting import PATIENCE_S


@pytest.fixture(scope="module")
def daemon(environment, tmp_path_factory):
    """A daemon on a server of its own, with a configuration that may be rewritten."""
    config = tmp_path_factory.mktemp("config") / "config.yaml"
    config.write_text("mixer: {strips: {accompaniment: {gain: -3}}}\n")
    with (
        private_server(blocksize=512, realtime=False) as name,
        running(environment, "-c", str(config), JACK_DEFAULT_SERVER=name) as (process, log),
    ):
        process.config, process.log = config, log
        yield process


def test_status_tells_people_and_programs(daemon, stemd):
    ended = stemd("status")
    assert ended.stdout.startswith("stemd 0.")
    for line in (
        "server: JACK ",
        "delay: ",
        "networks: 2stems, preset ",
        "precision: ",
        "vocals: +0.0 dB",
        "accompaniment: -3.0 dB",
        "late: ",
        "nothing is connected to in_L and in_R, ",
    ):
        assert f"\n{line}" in ended.stdout
    told = json.loads(stemd("status", "--json").stdout)
    assert told["stems"] == ["vocals", "accompaniment"]
    assert told["server"]["period"] in (0, 512)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--gain", "-6dB"], "vocals: -6.0 dB"),
        (["--gain", "off"], "vocals: off"),
        (["--gain", "3", "--mute", "--solo"], "vocals: +3.0 dB, mute, solo"),
        (["--unmute", "--unsolo", "--gain", "0"], "vocals: +0.0 dB"),
    ],
)
def test_set_changes_a_stem_and_says_how_it_is(daemon, stemd, options, told):
    assert stemd("set", "vocals", *options).stdout == f"{told}\n"


def test_bypass_is_switched_and_changed_over(daemon, stemd):
    for arguments, told in (["on"], "on"), ([], "off"), (["toggle"], "on"), (["off"], "off"):
        assert stemd("bypass", *arguments).stdout == f"bypass: {told}\n"


def test_the_device_is_shown_and_refused_on_jack(daemon, stemd):
    assert stemd("device").stdout == stemd("device", "off").stdout == "device: off\n"
    told = json.loads(stemd("device", "--json").stdout)
    assert told == {"mode": "off", "in_effect": "off", "trouble": None}
    assert "all needs PipeWire, and stemd plays on JACK" in stemd("device", "all").stderr
    assert "Did you mean output?" in stemd("device", "outptu").stderr


def test_events_are_lines_of_json(daemon, environment, stemd):
    process = subprocess.Popen(
        [STEMD, "events", "--meters", "0.05"], env=environment, stdout=subprocess.PIPE
    )
    log = Log(process.stdout)
    try:
        assert json.loads(log.wait_for('"event"'))["event"] == "meters"
        stemd("set", "vocals", "--solo")
        assert json.loads(log.wait_for('"mixer"'))["event"] == "mixer"
    finally:
        end(process)
        log.close()
    stemd("set", "vocals", "--unsolo")


def test_reload_follows_the_file_and_refuses_a_wrong_one(daemon, stemd):
    text = daemon.config.read_text()
    daemon.config.write_text(text + "separation: {preset: studio}\njack: {client_name: x}\n")
    ended = stemd("reload")
    assert ended.stdout == ("changed: separation.preset\nat the next start: jack.client_name\n")
    daemon.log.wait_for("reloaded: ")
    daemon.config.write_text(text + "separation: {preset: fast, stems: three}\n")
    ended = stemd("reload")
    assert ended.returncode == 1
    assert "nothing is changed" in ended.stderr
    assert "separation.preset: " in ended.stderr
    assert "separation.stems: " in ended.stderr
    daemon.config.write_text(text)
    daemon.send_signal(signal.SIGHUP)
    daemon.log.wait_for("reloaded: separation.preset")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["set", "vocals"], 2, "give at least one of"),
        (["set", "tuba", "--mute"], 2, "'tuba' is not one of"),
        (["set", "vocals", "--gain", "loud"], 2, "must be a number of decibels from -90 to 12"),
        (["set", "vocals", "--gain", "40"], 2, "must be a number of decibels from -90 to 12"),
        (["set", "bass", "--mute"], 1, "no stem bass now (there are: vocals, accompaniment)"),
        (["events", "--meters", "nan"], 2, "must be a number of seconds (got nan)"),
        (["top"], 1, "stemd status prints the same once"),
        (["status", "--socket", "/nowhere"], 1, "no stemd answers at /nowhere: No such file"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(daemon, stemd, arguments, status, message):
    ended = stemd(*arguments)
    assert message in ended.stderr
    assert ended.returncode == status


def test_a_wrong_configuration_keeps_no_daemon_from_being_steered(daemon, stemd, tmp_path):
    (tmp_path / "stemd").mkdir()
    (tmp_path / "stemd/config.yaml").write_text("separation: {stems: three}\n")
    ended = stemd("set", "vocals", "--unmute", XDG_CONFIG_HOME=str(tmp_path))
    assert ended.returncode == 0
    assert "separation.stems" in ended.stderr
    assert "so this command uses the defaults" in ended.stderr


def test_a_profile_is_nothing_to_talk_of_where_a_daemon_is_steered(environment, stemd, tmp_path):
    folder = tmp_path / "stemd"
    folder.mkdir()
    (folder / "config.yaml").write_text("separation: {profile: auto}\n")
    ended = stemd("status", XDG_CONFIG_HOME=str(tmp_path), XDG_RUNTIME_DIR=str(tmp_path))
    assert ended.stderr.startswith("stemd: no stemd answers")


def test_stop_ends_the_daemon(environment, stemd, tmp_path):
    path = str(tmp_path / "socket")
    with (
        private_server(blocksize=512, realtime=False) as name,
        running(environment, "--set", f"control.socket={path}", JACK_DEFAULT_SERVER=name) as (
            process,
            _,
        ),
    ):
        assert stemd("stop", "--socket", path).returncode == 0
        assert not Path(path).exists(), "the next daemon has room at once"
        assert process.wait(PATIENCE_S) == 0
    assert stemd("status", "--socket", path).returncode == 1


def test_what_was_set_comes_back_where_a_state_file_is_asked_for(environment, stemd, tmp_path):
    path, state = str(tmp_path / "socket"), tmp_path / "state.json"
    settings = ["--set", f"control.socket={path}", "--set", f"control.state_file={state}"]
    with private_server(blocksize=512, realtime=False) as name:
        for told in ("vocals: +0.0 dB", "vocals: -6.0 dB"):
            with running(environment, *settings, JACK_DEFAULT_SERVER=name) as (process, _):
                assert told in stemd("status", "--socket", path).stdout
                stemd("set", "vocals", "--gain", "-6", "--socket", path)
                assert stop(process) == 0


@pytest.fixture
def fake(tmp_path):
    """A daemon to talk to, and the options that lead there."""
    made = FakeDaemon()
    server = ControlServer(tmp_path / "s", made)
    server.start()
    yield made, ["--socket", str(tmp_path / "s")]
    server.close()


@pytest.mark.parametrize(
    ("arguments", "wish"),
    [
        (["set", "vocals", "--learn", "gain", "--fine"], {"does": "gain", "fine": True}),
        (["set", "vocals", "--learn", "mute", "--toggles"], {"does": "mute", "toggles": True}),
        (["set", "vocals", "--learn", "solo"], {"does": "solo"}),
        (["bypass", "--learn", "--toggles"], {"does": "bypass", "toggles": True}),
    ],
)
def test_learn_asks_waits_and_says_what_was_learned(fake, arguments, wish):
    daemon, socket = fake
    stem = {"stem": "vocals"} if arguments[0] == "set" else {}
    learned = Binding(cc=21, channel=3, **wish, **stem)

    def learn(asked):
        daemon.wish = asked
        answer = Future()
        threading.Timer(0.1, answer.set_result, [learned]).start()
        return answer

    daemon.learn = learn
    ended = CliRunner().invoke(cli, [*arguments, *socket])
    assert ended.stdout.splitlines()[-1] == learned.in_words()
    assert daemon.wish == learned.model_copy(update={"cc": 0, "channel": None})


def test_a_controller_that_never_moves_is_waited_for_no_longer(fake, monkeypatch):
    daemon, socket = fake
    monkeypatch.setattr(conversation, "ANSWER_S", 0.1)
    answer = Future()
    daemon.learn = lambda wish: answer
    ended = CliRunner().invoke(cli, ["set", "vocals", "--learn", "gain", *socket])
    assert "no controller moved for 0 s" in str(ended.exception)
    assert answer.cancelled()


@pytest.mark.parametrize(
    "arguments",
    [
        ["set", "vocals", "--gain", "1", "--fine"],
        ["set", "vocals", "--mute", "--toggles"],
        ["bypass", "--toggles"],
        ["bypass", "off", "--learn"],
    ],
)
def test_options_that_would_do_nothing_are_refused(fake, arguments):
    ended = CliRunner().invoke(cli, [*arguments, *fake[1]])
    assert isinstance(ended.exception, SystemExit)
    assert "--learn" in ended.output


def completed(text: str, *words: str) -> list[str]:
    """What a shell offers after some words."""
    found = get_completion_class("bash")(cli, {}, "stemd", "_STEMD_COMPLETE")
    return [item.value for item in found.get_completions(list(words), text)]


def test_the_stems_that_are_there_are_completed(fake, monkeypatch):
    daemon, socket = fake
    assert completed("", "set", *socket) == ["vocals", "accompaniment"]
    assert completed("v", "set", *socket) == ["vocals"]
    assert completed("d", "set", *socket) == []
    monkeypatch.setattr(steer, "COMPLETION_S", 0.05)
    daemon.status = Future
    assert completed("", "set", *socket) == list(STEMS)


def test_all_stems_are_completed_where_no_daemon_runs(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "stemd").mkdir(mode=0o700)
    assert completed("", "set") == list(STEMS)
    (tmp_path / "stemd" / "config.yaml").write_text("wrong: 1")
    assert completed("b", "set") == ["bass"]
    assert not "".join(capfd.readouterr())


@pytest.mark.parametrize("changed", [{"server": {}}, {"mixer": 3}, {"bypass": True, "state": None}])
def test_a_daemon_of_another_version_is_said(fake, changed):
    daemon, socket = fake
    daemon.raw = {**status(server=None), "version": "9", **changed}
    ended = CliRunner().invoke(cli, ["status", *socket])
    assert "is of another version (9) than this command: restart it" in str(ended.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ["bypass"],
        ["reload"],
        ["set", "vocals", "--mute"],
        ["set", "vocals", "--learn", "gain"],
        ["bypass", "--learn"],
    ],
)
def test_what_another_version_answers_to_any_command_is_said(monkeypatch, arguments):
    monkeypatch.setattr(ControlClient, "__init__", lambda *_: None)
    monkeypatch.setattr(ControlClient, "close", lambda _: None)
    monkeypatch.setattr(ControlClient, "ask", lambda *_, **__: {"new": 1})
    ended = CliRunner().invoke(cli, [*arguments, "--socket", "s"])
    assert str(ended.exception) == (
        "the stemd that runs is of another version than this command: restart it"
    )


def test_the_stems_of_another_version_are_not_completed(fake):
    daemon, socket = fake
    daemon.raw = {"stems": []}
    assert completed("", "set", *socket) == list(STEMS)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"[]\n",
        b'{"ok": true}\n',
        b'{"ok": false, "error": "no"}\n',
        b'{"ok": false, "error": {"code": 3}}\n',
        b'{"ok": 1, "result": []}\n',
        b"[" * 100_000 + b"\n",
        b"9" * 100_000 + b"\n",
        b"\xff\n",
    ],
    ids=range(9),
)
def test_another_program_at_the_socket_is_told_apart(tmp_path, answer):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def respond() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        thread = threading.Thread(target=respond)
        thread.start()
        ended = CliRunner().invoke(cli, ["status", "--socket", str(path)])
        thread.join()
    assert "is not stemd: give the path of its socket" in str(ended.exception)


def test_a_reload_may_name_a_preset(fake):
    daemon, socket = fake
    ended = CliRunner().invoke(cli, ["reload", "--preset", "live", *socket])
    assert (ended.output, daemon.preset) == ("changed: nothing\n", "live")
