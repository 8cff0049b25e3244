"""The commands as a user runs them: exit codes, one clear line, no traceback."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from click.shell_completion import ShellComplete

import interrupted
from damaged import damaged_four_stems
from logged import Log
from processes import STEMD, end
from stemd.daemon.cli import main
from stemd.daemon.cli.commands import stemd as cli
from stemd.daemon.config import Config


def test_check_accepts_the_shipped_configuration(stemd):
    shipped = Path(__file__).parents[3] / "config.yaml"
    ended = stemd("check", "-c", str(shipped))
    assert (ended.returncode, ended.stdout) == (0, f"the configuration is right ({shipped})\n")
    assert stemd("check").stdout == "the configuration is right (no file: the defaults)\n"


def test_check_refuses_a_wrong_one_with_every_error(stemd, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("separation: {stems: three, preset: fast}")
    ended = stemd("check", "-c", str(path))
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        f"stemd: the configuration {path} is wrong:",
        "separation.stems: must be auto or a number of stems, as 2 or 4 (got 'three')",
        "separation.preset: must be 'seed', 'studio', 'balanced', 'live' or 'auto' (got 'fast')",
    ]


def test_verbose_tells_more(environment):
    said = "DEBUG stemd.daemon.graph.jack: JACK "
    for options, tells in ((["-v"], True), ([], False)):
        process = subprocess.Popen(
            [STEMD, *options, "run", "--server", "jack"],
            env=environment,
            stderr=subprocess.PIPE,
        )
        log = Log(process.stderr)
        try:
            log.wait_for("waiting for a server")
        finally:
            end(process)
            log.close()
        assert any(line.startswith(said) for line in log.lines()) is tells


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
        (["run", "--preset", "fast"], 2, "'fast' is not one of 'seed', 'studio'"),
        (["run", "--preset", "Live"], 2, "Did you mean live?"),
        (["run", "--stems", "3"], 2, "'3' is not one of 'auto', '2', '4'"),
        (["run", "--server", "alsa"], 2, "'alsa' is not one of 'auto', 'jack', 'pipewire'"),
        (["set", "Vocals"], 2, "Did you mean vocals?"),
        (["models", "install", "4Stems"], 2, "Did you mean 4stems?"),
        (["check", "--set", "jack.server=Jack"], 2, "(got 'Jack'); did you mean jack?"),
        (["check", "--set", "midi.bindings=[{cc: 1, does: Gain, stem: bass}]"], 2, "mean gain?"),
        (["check", "--set", "separation.networks=nope"], 2, "there are no networks named 'nope'"),
        (["check", "--set", "separation.stems=3"], 2, "there are no networks of 3 stems"),
        (["run", "--set", "separation.networks=nope"], 2, "there are no networks named 'nope'"),
        (["run", "--set", "control.state_file=~nobodyknows/x"], 2, "there is no home folder for"),
        (["run", "--set", "x"], 2, "--set wants section.key=value (got 'x')"),
        (["run", "-c", "none.yaml"], 2, "cannot read the configuration none.yaml: No such file"),
        (["separate", "none.wav"], 1, "cannot read none.wav: there is no such file"),
        (["separate", "x", "--preset", "seed", "--offline"], 2, "exclude each other: give one"),
        (["separate", "x", "--format", "flac", "--bits", "float"], 2, "FLAC holds no float"),
        (["separate", "x", "--stems", "3"], 2, "'3' is not one of"),
        (["doctor", "--seconds", "nan"], 2, "must be a number of seconds (got nan)"),
        (
            ["separate", "none.wav", "-o", ""],
            2,
            "'-o' / '--output': a path must not be empty",
        ),
        (["separate", ""], 2, "a path must not be empty"),
        (["models", "export", "2stems", "-o", ""], 2, "a path must not be empty"),
        (["models", "install", "2stems", "--from", ""], 2, "a path must not be empty"),
        (["check", "-c", ""], 2, "a path must not be empty"),
        (["status", "--socket", ""], 2, "a path must not be empty"),
        (["demo", "--song", "none.wav"], 1, "cannot read none.wav: there is no such file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_exit_code(arguments, status, message, stemd):
    ended = stemd(*arguments)
    assert message in ended.stderr
    assert ended.returncode == status


@pytest.mark.parametrize(
    "arguments",
    [["demo", "--song", "none.wav"], ["separate", "none.wav", "-o", "stems"]],
    ids=lambda arguments: arguments[0],
)
def test_what_is_refused_leaves_nothing_behind(arguments, stemd, tmp_path):
    ended = stemd(*arguments, cwd=tmp_path)
    assert ended.returncode == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("group", [[], ["models"], ["service"]])
def test_a_group_without_a_command_prints_its_help(group, stemd):
    ended = stemd(*group)  # on standard error since click 8.2
    assert (ended.stdout + ended.stderr).strip() == stemd(*group, "--help").stdout.strip()


@pytest.mark.parametrize("command", [["set"], ["completion"], ["models", "install"]])
def test_what_an_argument_may_be_is_listed(command, stemd):
    ended = stemd(*command)
    assert "Choose from:\n    " in ended.stderr
    assert "\\" not in ended.stderr


def test_networks_that_cannot_be_used_are_named_with_the_command_that_repairs_them(stemd, tmp_path):
    damaged_four_stems(tmp_path)
    ended = stemd("run", "--stems", "4", XDG_DATA_HOME=str(tmp_path))
    assert ended.returncode == 1
    assert "manifest.json is damaged" in ended.stderr
    assert "stemd models install 4stems`" in ended.stderr


@pytest.mark.parametrize("arguments", [["config"], ["check"], ["models", "list"], ["--help"]])
def test_output_that_cannot_be_written_is_one_clear_line(arguments, environment):
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [STEMD, *arguments], env=environment, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert ended.returncode == 1
    assert ended.stderr == "stemd: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize("arguments", [["config"], ["check"], ["models", "list"], ["--help"]])
def test_closed_standard_output_is_one_clear_line(arguments, environment):
    ended = run_in_shell("{stemd} {arguments} >&-", arguments, environment)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "stemd: cannot write to standard output: Bad file descriptor"
    )
    assert "Traceback" not in ended.stderr


def test_a_reader_that_has_gone_is_no_error(environment):
    ended = run_in_shell("{{ {stemd} {arguments}; echo $? >&2; }} | true", ["config"], environment)
    assert ended.stderr == "141\n"


def test_messages_go_nowhere_where_standard_error_is_closed_or_full(environment):
    for way in ("<&- >&- 2>&-", "2>/dev/full"):
        ended = run_in_shell("{stemd} {arguments} " + way, ["check", "-c", "none"], environment)
        assert (ended.returncode, ended.stderr) == (2, "")


def test_what_an_encoding_lacks_is_written_as_an_escape(environment, tmp_path):
    ended = subprocess.run(
        [STEMD, "models", "export", "2stems", "-o", tmp_path / "ä\udcff"],
        env={**environment, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        capture_output=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert b"/vocals.tflite\n" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "imports"),
    [(["check"], (5, 40, 120, 180, 230)), (["models", "export", "2stems", "-o", "x"], (345, 500))],
)
def test_interrupting_the_imports_is_one_line(arguments, imports, environment, tmp_path):
    arguments = [str(tmp_path / each) if each == "x" else each for each in arguments]
    for n in imports:
        ended = interrupted.run(n, arguments, environment)
        assert (ended.returncode, ended.stderr) == (130, "stemd: interrupted\n"), n


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "it is a FIFO, and must be an ordinary file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a device, and must be an ordinary file"),
        (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda path: path.write_text("#" * 70_000), "it is longer than 64 KiB, the most allowed"),
    ],
)
def test_a_configuration_is_an_ordinary_file_of_a_bounded_size(make, said, stemd, tmp_path):
    path = tmp_path / "config.yaml"
    make(path)
    ended = stemd("check", "-c", str(path))
    assert (ended.returncode, ended.stderr) == (
        2,
        f"stemd: cannot read the configuration {path}: {said}\n",
    )


def test_raw_samples_are_told_to_say_what_they_are(stemd, tmp_path):
    (tmp_path / "x.raw").write_bytes(bytes(1000))
    ended = stemd("separate", str(tmp_path / "x.raw"))
    assert ended.returncode == 1
    assert "x.raw: raw samples do not say what they are" in ended.stderr


def test_a_fault_of_its_own_is_one_line_too(monkeypatch, capsys):
    def fail(**_):
        raise KeyError("a\nb")

    monkeypatch.setattr(main, "stemd", fail)
    assert main._status_of_command() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("stemd: this is a fault of stemd's own (KeyError: 'a\\nb'); please")


def run_in_shell(command, arguments, environment):
    """Run a command line of a shell's, in which {stemd} and {arguments} stand for ours."""
    line = command.format(stemd=shlex.quote(str(STEMD)), arguments=shlex.join(arguments))
    return subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True)


def commands(group=None, path=()):
    """Every command, with its names."""
    for name, command in (group or cli).commands.items():
        yield (*path, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize(("names", "command"), list(commands()), ids=str)
def test_help_and_completion_cut_no_summary(names, command):
    summary = command.get_short_help_str()
    assert summary and not summary.endswith("..."), summary
    assert not summary.endswith("…")


@pytest.mark.parametrize(
    ("arguments", "incomplete", "offered"),
    [
        (["run", "--preset"], "", {"seed", "studio", "balanced", "live", "auto"}),
        (["run", "--server"], "j", {"jack"}),
        (["run", "--stems"], "", {"auto", "2", "4", "5"}),
        (["run", "--networks"], "4", {"4stems", "4stems-stemd"}),
        (["check", "--set"], "separation.networks=2", {"separation.networks=2stems"}),
        (["run", "--set"], "jack.cl", {"jack.client_name="}),
        (["check", "--set"], "separation.preset=st", {"separation.preset=studio"}),
        (["check", "--set"], "separation.nothing=", set()),
        (["bench", "--precision"], "", {"auto", "fp32", "mixed", "int8"}),
        (["bench", "--stems"], "", {"auto", "2", "4", "5"}),
        (["demo", "--preset"], "l", {"live"}),
        (["models", "install"], "", {"2stems", "4stems", "5stems"}),
        (["models", "verify"], "4", {"4stems", "4stems-stemd"}),
        (["models", "export", "2stems", "--preset"], "s", {"seed", "studio"}),
        (["service", "install", "--system"], "roo", {"root"}),
    ],
)
def test_what_has_only_some_values_completes(arguments, incomplete, offered):
    completed = ShellComplete(cli, {}, "stemd", "_STEMD_COMPLETE")
    items = completed.get_completions(arguments, incomplete)
    assert {item.value for item in items} == offered


def test_every_word_of_the_configuration_that_an_option_takes_completes():
    for names, command in commands():
        for option in command.params:
            if option.name in ("preset", "stems", "server", "precision", "suffix", "bits"):
                assert option.type.shell_complete(None, option, ""), (names, option.name)
