"""The commands as a user runs them: exit codes, one clear line, no traceback, a clean stop."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import jack
import numpy as np
import pytest
import soundfile
import yaml
from click.testing import CliRunner

from processes import process_of
from stemd.daemon import separate_command
from stemd.daemon.cli import cli
from stemd.daemon.config import Config, SeparationSection
from stemd.daemon.private_server import private_server

STEMD = Path(sys.executable).with_name("stemd")
READY = "separating into"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Without the user's own configuration, networks, servers; the cache serves all tests here."""
    home = tmp_path_factory.mktemp("home")
    runtime = home / "runtime"
    runtime.mkdir(mode=0o700)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(runtime),
        "JACK_DEFAULT_SERVER": "nobody-has-this-name",
    }


@pytest.fixture
def stemd(environment):
    """A function that runs a command to its end."""

    def run(*arguments, cwd=None):
        ended = subprocess.run(
            [STEMD, *arguments],
            env=environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "Traceback" not in ended.stderr
        return ended

    return run


@contextmanager
def running(environment, *arguments, **more):
    """`stemd run` from when it separates; yields the process and the log so far."""
    process = subprocess.Popen(
        [STEMD, "run", *arguments],
        env={**environment, **more},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        log = []
        for line in process.stderr:
            log.append(line)
            if line.startswith(READY):
                break
        else:
            raise AssertionError("".join(log))
        yield process, log
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_check_accepts_the_shipped_configuration(stemd):
    shipped = Path(__file__).parents[2] / "config.yaml"
    ended = stemd("check", "-c", str(shipped))
    assert (ended.returncode, ended.stdout) == (0, f"the configuration is right ({shipped})\n")
    assert stemd("check").stdout == "the configuration is right (no file: the defaults)\n"


def test_check_refuses_a_wrong_one_with_every_error(stemd, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("separation: {stems: 3, preset: fast}")
    ended = stemd("check", "-c", str(path))
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        f"stemd: the configuration {path} is wrong:",
        "separation.stems: input should be 'auto', 2 or 4 (got 3)",
        "separation.preset: input should be 'seed', 'studio', 'balanced', 'live' or 'auto' "
        "(got 'fast')",
    ]


def test_verbose_tells_more(environment):
    said = "DEBUG stemd.daemon.jack_graph: JACK "
    for options, tells in ((["-v"], True), ([], False)):
        process = subprocess.Popen(
            [STEMD, *options, "run", "--server", "jack"],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "waiting for a server" in line:
                break
        process.terminate()
        process.communicate()
        assert any(line.startswith(said) for line in lines) is tells


def test_config_prints_the_effective_one(stemd):
    ended = stemd("config", "--set", "separation.preset=seed")
    assert ended.returncode == 0
    expected = Config().model_dump(mode="json")
    expected["separation"]["preset"] = "seed"
    assert yaml.safe_load(ended.stdout) == expected


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["fly"], 2, "No such command 'fly'"),
        (["run", "--fast"], 2, "No such option"),
        (["run", "--preset", "fast"], 2, "separation.preset: input should be 'seed', 'studio'"),
        (["run", "--stems", "3"], 2, "separation.stems: input should be 'auto', 2 or 4 (got 3)"),
        (["run", "--server", "alsa"], 2, "jack.server: input should be 'auto', 'jack', 'pipew"),
        (["run", "--set", "x"], 2, "--set wants section.key=value (got 'x')"),
        (["run", "-c", "none.yaml"], 2, "cannot read the configuration none.yaml: No such file"),
        (["run", "--stems", "4"], 1, "stemd models install 4stems"),
        (["separate", "none.wav"], 1, "cannot read none.wav: there is no such file"),
        (["separate", "x", "--preset", "seed", "--offline"], 2, "exclude each other: give one"),
        (["separate", "x", "--format", "flac", "--bits", "float"], 2, "FLAC holds no float"),
        (["separate", "x", "--stems", "3"], 2, "'3' is not one of"),
        (["demo", "--song", "none.wav"], 1, "cannot read none.wav: there is no such file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_exit_code(arguments, status, message, stemd):
    ended = stemd(*arguments)
    assert message in ended.stderr
    assert ended.returncode == status


@pytest.fixture(scope="module")
def two_seconds(tmp_path_factory):
    """The demo song's third and fourth second: voice and instruments."""
    path = tmp_path_factory.mktemp("song") / "two seconds.flac"
    song = Path(__file__).parents[2] / "daemon" / "song" / "slow-motion-dream.mp3"
    x, samplerate = soundfile.read(song, start=2 * 44_100, frames=2 * 44_100)
    soundfile.write(path, x / 2, samplerate)  # no stem beyond full scale
    return path


def stems_of(folder: Path, suffix: str = "wav") -> np.ndarray:
    names = [folder / f"{stem}.{suffix}" for stem in ("vocals", "accompaniment")]
    return np.stack([soundfile.read(name, dtype="float32")[0].T for name in names])


def test_separate_writes_the_stems_and_names_them(stemd, two_seconds, tmp_path):
    ended = stemd("separate", str(two_seconds), cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["two seconds/vocals.wav", "two seconds/accompaniment.wav"]
    x = soundfile.read(two_seconds, dtype="float32")[0].T
    y = stems_of(tmp_path / "two seconds")
    np.testing.assert_allclose(y.sum(axis=0), x, atol=1e-5)
    assert (np.abs(y).mean(axis=(1, 2)) > 0.01).all(), "a stem is missing"


@pytest.mark.parametrize(
    "options",
    [
        ["--preset", "balanced"],
        ["--mask-extension", "zeros"],
        ["--precision", "int8"],
        ["--format", "flac"],
        ["--bits", "float"],
    ],
    ids=" ".join,
)
def test_every_option_of_separate_does_something(options, stemd, two_seconds, tmp_path):
    assert stemd("separate", str(two_seconds), "-o", str(tmp_path / "a")).returncode == 0
    ended = stemd("separate", str(two_seconds), "-o", str(tmp_path / "b"), *options)
    assert ended.returncode == 0, ended.stderr
    plain = stems_of(tmp_path / "a")
    other = stems_of(tmp_path / "b", "flac" if "flac" in options else "wav")
    assert plain.shape == other.shape
    if options[0] in ("--preset", "--mask-extension", "--precision"):
        assert np.abs(plain - other).max() > 1e-3
    else:
        np.testing.assert_allclose(plain, other, atol=1e-5)
    if "float" in options:
        assert soundfile.info(tmp_path / "b" / "vocals.wav").subtype == "FLOAT"


@pytest.mark.parametrize(
    ("options", "precision"),
    [
        ([], "fp32"),
        (["--offline"], "fp32"),
        (["--preset", "studio"], SeparationSection().precision),
        (["--preset", "studio", "--precision", "int8"], "int8"),
    ],
)
def test_separate_is_exact_unless_it_does_as_the_daemon(options, precision, monkeypatch):
    told = []
    monkeypatch.setattr(separate_command, "separate_file", lambda *wishes: told.extend(wishes))
    arguments = ["separate", "song.wav", "--threads", "3", *options]
    CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert told[-2:] == [precision, 3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_separate_that_is_interrupted_leaves_nothing(number, environment, tmp_path):
    song = tmp_path / "song.wav"
    soundfile.write(song, np.zeros((600 * 44_100, 1), np.float32), 44_100)
    folder = tmp_path / "stems"
    process = subprocess.Popen(
        [STEMD, "separate", song, "-o", folder], env=environment, stderr=subprocess.PIPE, text=True
    )
    wait_for(folder)
    process.send_signal(number)
    _, log = process.communicate(timeout=30)
    assert "Traceback" not in log
    assert process.returncode == 128 + number
    assert not folder.exists()


def test_separate_under_nohup_does_not_hear_the_terminal_close(environment, tmp_path):
    song = tmp_path / "song.wav"
    soundfile.write(song, np.zeros((60 * 44_100, 1), np.float32), 44_100)
    folder = tmp_path / "stems"
    process = subprocess.Popen(
        ["nohup", STEMD, "separate", song, "-o", folder],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(folder)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 0
    assert stems_of(folder).shape[-1] == 60 * 44_100


@pytest.mark.parametrize("arguments", [["config"], ["check"], ["models", "list"], ["--help"]])
def test_output_that_cannot_be_written_is_one_clear_line(arguments, environment):
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [STEMD, *arguments], env=environment, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert ended.returncode == 1
    assert ended.stderr == "stemd: [Errno 28] No space left on device\n"


def test_separate_works_without_a_standard_error(environment, two_seconds, tmp_path):
    command = f'exec "{STEMD}" separate "{two_seconds}" -o "{tmp_path}" 2>&-'
    ended = subprocess.run(["sh", "-c", command], env=environment, stdout=subprocess.DEVNULL)
    assert ended.returncode == 0
    assert stems_of(tmp_path).any()


@pytest.mark.parametrize("name", ["song", "..wav", ".wav"])
def test_song_whose_name_makes_no_folder_asks_for_one(name, stemd):
    ended = stemd("separate", name)
    assert ended.returncode == 2
    assert f"a folder cannot have the name of {name}: say where (-o)" in ended.stderr


@pytest.fixture
def server():
    with private_server(blocksize=512, realtime=False) as name:
        yield name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_plays_on_the_server_that_answers_and_stops_when_asked(environment, server, number):
    with running(environment, JACK_DEFAULT_SERVER=server) as (process, log):
        assert any(re.match(r"client stemd on JACK .*, 44100 Hz, 512 frames", x) for x in log)
        assert log[-1].startswith("separating into vocals, accompaniment with a delay of ")
        bystander = jack.Client("bystander", no_start_server=True, servername=server)
        ports = [port.shortname for port in bystander.get_ports("^stemd:")]
        assert ports == [
            *("in_L", "in_R", "vocals_L", "vocals_R", "accompaniment_L", "accompaniment_R")
        ]
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
        assert re.search(r"^played \d+\.\d s: 0 of ", process.stderr.read(), re.MULTILINE)
        assert bystander.get_ports("^stemd:") == []
        bystander.close()


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


def test_autoconnect_can_be_switched_off(environment, server):
    pattern = "jack.autoconnect={drums_L: '.*'}"
    arguments = ("--no-autoconnect", "--set", pattern)
    with running(environment, *arguments, JACK_DEFAULT_SERVER=server) as (_, log):
        assert not any("autoconnect" in line for line in log)  # or it would warn of drums_L


def test_run_warns_of_ports_that_it_does_not_have(environment, server):
    pattern = "jack.autoconnect={drums_L: '.*'}"
    with running(environment, "--set", pattern, JACK_DEFAULT_SERVER=server) as (_, log):
        assert "jack.autoconnect.drums_L: connects nothing, with 2 stems\n" in log


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
    with private_server(blocksize=512, realtime=False) as name:
        running_daemon = running(environment, JACK_DEFAULT_SERVER=name)
        process, _ = running_daemon.__enter__()
        bystander = jack.Client("bystander", no_start_server=True, servername=name)
        bystander.connect(*users)
        wait_until(lambda: connected(bystander, *users))
        time.sleep(1.5)  # a connection must have lasted to be restored
        bystander.close()
        os.kill(process_of(name), number)
        await_line(process, "the server went away")
        await_line(process, "waiting for a server: no JACK or PipeWire server answers")
    with private_server(blocksize=512, realtime=False) as again:
        assert again == name
        await_line(process, READY)
        bystander = jack.Client("bystander", no_start_server=True, servername=name)
        wait_until(lambda: connected(bystander, *users))
        bystander.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    running_daemon.__exit__(None, None, None)


def connected(client, source: str, destination: str) -> bool:
    return destination in [port.name for port in client.get_all_connections(source)]


def await_line(process, begin: str) -> None:
    for line in process.stderr:
        if line.startswith(begin):
            return
    raise AssertionError(f"it never said {begin!r}")


def wait_until(holds) -> None:
    for _ in range(200):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("it never came to pass")


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


def wait_for(path: Path) -> None:
    """Look again and again: nobody tells when the path is there."""
    import time

    for _ in range(500):
        if path.exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} does not appear")
