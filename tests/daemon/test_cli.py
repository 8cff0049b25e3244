"""The commands as a user runs them: exit codes, one clear line, no traceback."""

import subprocess
from pathlib import Path

import pytest
import yaml

from damaged import damaged_four_stems
from processes import STEMD
from stemd.daemon.config import Config


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


def test_networks_that_cannot_be_used_are_named_with_the_command_that_mends_them(
    environment, tmp_path
):
    damaged_four_stems(tmp_path)
    ended = subprocess.run(
        [STEMD, "run", "--stems", "4"],
        env={**environment, "XDG_DATA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert "manifest.json is damaged" in ended.stderr
    assert "run `stemd models install 4stems`" in ended.stderr


@pytest.mark.parametrize("arguments", [["config"], ["check"], ["models", "list"], ["--help"]])
def test_output_that_cannot_be_written_is_one_clear_line(arguments, environment):
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [STEMD, *arguments], env=environment, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert ended.returncode == 1
    assert ended.stderr == "stemd: [Errno 28] No space left on device\n"
