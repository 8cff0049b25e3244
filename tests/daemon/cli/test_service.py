"""`stemd service` where there is no systemd, or none that answers; tests/service has the rest."""

import getpass
import os
import re
import shutil
import stat
import subprocess
import sys
from importlib.resources import files

import pytest
from click.testing import CliRunner

import small_disk
from stemd.daemon.cli import systemctl, systemd_service, unit_file
from stemd.daemon.cli.commands import stemd as cli
from stemd.daemon.errors import StemdError

ME = getpass.getuser()


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(systemd_service, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setattr(systemd_service, "LINGER_FOLDER", tmp_path / "linger")
    (tmp_path / "linger").mkdir()
    (tmp_path / "linger" / ME).touch()


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """A function that sets what systemctl says and how it ends; what it is asked is in a file."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def says(script: str) -> None:
        for name in ("systemctl", "loginctl"):
            program = folder / name
            program.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/asked\n{script}\n')
            program.chmod(0o755)

    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(systemctl, "BOOTED", folder)
    return says


def run(*arguments):
    return CliRunner().invoke(cli, ["service", *arguments])


def fault_of(*arguments) -> str:
    error = run(*arguments).exception
    assert isinstance(error, StemdError), error
    return str(error)


def shown(**properties: str) -> str:
    """A script that says what `systemctl show` does."""
    usual = {"ActiveState": "active", "SubState": "running", "UnitFileState": "enabled"}
    pairs = usual | {"StatusText": "", "NRestarts": "0", "User": ""} | properties
    return "printf '%s\\n' " + " ".join(f"'{key}={value}'" for key, value in pairs.items())


def test_what_is_not_installed_has_no_status_and_is_not_removed():
    assert "stemd service install puts it there" in fault_of("status")
    assert "nothing is installed" in fault_of("uninstall")
    assert "system/stemd.service" in fault_of("status", "--system")


def test_a_unit_that_a_package_brings_has_a_status_and_is_disabled(systemd, tmp_path):
    systemd(shown())
    packaged = tmp_path / "packaged.service"
    packaged.write_text(unit_file.unit_text(False, ME))
    link = tmp_path / "config/systemd/user/default.target.wants/stemd.service"
    link.parent.mkdir(parents=True)
    link.symlink_to(packaged)
    said = run("status").output
    assert said.startswith("active (running), enabled")
    assert "another stemd" not in said
    assert run("uninstall").output == "disabled; the unit is part of a package\n"
    assert "systemctl --user disable --now stemd.service" in (tmp_path / "asked").read_text()
    assert packaged.exists()


def test_one_of_the_machine_is_pointed_out_where_the_users_own_is_asked_for(systemd):
    systemd(shown(User=ME))
    run("install", "--system", ME)
    assert "the system-wide service: --system" in fault_of("status")


def test_a_machine_without_systemd_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fault_of("install").startswith(
        "there is no systemctl: this machine has no systemd; have"
    )


@pytest.mark.parametrize(
    ("said", "explained"),
    [
        (
            "System has not been booted with systemd as init system (PID 1). Can't operate.",
            "systemd does not run on this machine; have another program start `stemd run`",
        ),
        (
            "Failed to connect to bus: No medium found",
            "no service manager runs for this user (Failed to connect to bus: No medium found): "
            "log in on the desktop or by ssh",
        ),
    ],
)
def test_a_systemd_that_does_not_run_is_told_with_the_remedy(systemd, said, explained):
    systemd(f'echo "{said}" >&2; exit 1')
    assert fault_of("install").startswith(explained)


@pytest.mark.parametrize("options", [[], ["--system", "root"]])
def test_a_bus_that_is_missing_without_systemd_is_no_fault_of_the_login(
    systemd, monkeypatch, tmp_path, options
):
    monkeypatch.setattr(systemctl, "BOOTED", tmp_path / "none")
    systemd('echo "Failed to connect to bus: No such file or directory" >&2; exit 1')
    assert fault_of("install", *options).startswith("systemd does not run on this machine; ")


def test_a_systemd_that_hangs_is_waited_for_no_longer(systemd, monkeypatch):
    monkeypatch.setattr(systemctl, "COMMAND_S", 0.2)
    systemd("exec sleep 60")
    assert fault_of("install").startswith("systemctl --user daemon-reload did not end in 0 s")


def test_what_systemd_says_is_passed_on_and_nothing_is_left(systemd, tmp_path):
    systemd("echo Unit stemd.service is broken >&2; exit 1")
    said = fault_of("install")
    assert said == "systemctl --user daemon-reload failed: Unit stemd.service is broken"
    assert not list(tmp_path.rglob("stemd.service"))


def test_the_device_is_an_option_of_the_unit(systemd, tmp_path):
    systemd(shown())
    run("install", "--device", "all")
    (unit,) = tmp_path.rglob("stemd.service")
    assert re.search(r"^ExecStart=\S+ run --device all$", unit.read_text(), re.MULTILINE)
    run("install")
    assert re.search(r"^ExecStart=\S+ run$", unit.read_text(), re.MULTILINE)


def test_the_users_service_is_in_the_desktops_menus(systemd, tmp_path):
    systemd(shown())
    run("install", "--system", ME)
    assert not (tmp_path / "data").exists()
    run("install")
    (entry,) = tmp_path.rglob("stemd.desktop")
    assert f"Exec={unit_file.program_path()} top\n" in entry.read_text()
    run("uninstall")
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


def test_the_system_wide_service_is_no_device(systemd):
    systemd(shown())
    assert "--device excludes --system" in run("install", "--device", "all", "--system", ME).output


def test_a_unit_that_systemd_knows_nothing_of_can_be_taken_away(systemd, tmp_path):
    systemd(shown())
    run("install")
    systemd("echo Unit stemd.service is broken >&2; exit 1")
    assert "Unit stemd.service is broken" in fault_of("uninstall")
    assert not list(tmp_path.rglob("stemd.service"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("foo: bar", "foo: unknown key"),
        ("separation: {networks: nope}", "there are no networks named 'nope'"),
    ],
)
def test_a_wrong_configuration_is_told_before_anything_is_done(
    systemd, tmp_path, monkeypatch, text, fault
):
    systemd(shown())
    (tmp_path / "stemd").mkdir()
    (tmp_path / "stemd" / "config.yaml").write_text(text)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert fault in fault_of("install")
    assert not list(tmp_path.rglob("stemd.service"))


def test_a_folder_that_cannot_be_written_is_told(systemd, tmp_path):
    systemd(shown())
    (tmp_path / "system").write_text("")
    assert fault_of("install", "--system", ME).endswith("; try sudo")


def test_an_unknown_user_is_refused_before_anything_is_done(tmp_path):
    for user in ("nobody-knows-me", ""):
        ended = run("install", "--system", user)
        assert ended.exit_code == 2
        assert f"{user!r} must be the name of a user of this machine" in ended.output
    assert not (tmp_path / "system").exists()


def test_a_home_that_is_not_there_is_told(monkeypatch):
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.delenv("HOME", raising=False)

    def unknown(_):
        raise KeyError

    monkeypatch.setattr(systemd_service.pwd, "getpwuid", unknown)
    assert "set HOME or XDG_CONFIG_HOME" in fault_of("status")
    assert f"the system knows no user {os.getuid()}" in fault_of("install")


def test_everybody_may_read_the_unit(systemd, tmp_path):
    systemd(shown())
    before = os.umask(0o077)
    try:
        run("install")
    finally:
        os.umask(before)
    assert (tmp_path / "config/systemd/user/stemd.service").stat().st_mode & 0o777 == 0o644


def test_one_that_runs_starts_anew_only_if_its_unit_is_another(systemd, tmp_path):
    systemd(shown())
    unit, asked = tmp_path / "config/systemd/user/stemd.service", tmp_path / "asked"
    assert run("install").exit_code == 0
    asked.unlink()
    run("install")
    assert "try-restart" not in asked.read_text()
    unit.write_text("[Service]\nExecStart=/elsewhere/stemd run\n")
    run("install", "--no-start")
    assert "restart" not in asked.read_text()
    unit.write_text("[Service]\nExecStart=/elsewhere/stemd run\n")
    run("install")
    assert "systemctl --user try-restart stemd.service" in asked.read_text()


def test_lingering_is_for_who_runs_it(systemd, tmp_path):
    systemd(shown())
    run("install", "--linger", "--system", ME)
    assert f"loginctl enable-linger {ME}\n" in (tmp_path / "asked").read_text()


def test_a_manager_that_lingering_starts_is_waited_for(systemd, tmp_path, monkeypatch):
    monkeypatch.setattr(systemd_service, "LOOK_S", 0.01)
    asleep = tmp_path / "asleep"
    asleep.touch()
    systemd(
        f'case "$*" in *Version*) [ ! -e {asleep} ] || {{ rm {asleep}; exit 1; }};; esac\n'
        + shown(User=ME)
    )
    run("install", "--linger", "--system", ME)
    asked = (tmp_path / "asked").read_text()
    assert asked.count("systemctl --user show --property=Version\n") == 2


def test_status_tells_of_restarts_and_of_a_unit_for_another_stemd(systemd, tmp_path):
    systemd(shown())
    assert run("install", "--system", ME).exit_code == 0
    unit = tmp_path / "system" / "stemd.service"
    unit.write_text(unit.read_text().replace("ExecStart=/", "ExecStart=/elsewhere/"))
    systemd(shown(ActiveState="failed", SubState="failed", NRestarts="3"))
    ended = run("status", "--system")
    assert ended.exit_code == 1
    said = ended.output.splitlines()
    assert said[:2] == [
        "failed (failed), enabled",
        "restarted 3 times: journalctl --system -u stemd shows why",
    ]
    assert "starts another stemd than this one" in said[2]


def test_status_of_one_that_failed_at_once_tells_where_to_look(systemd):
    systemd(shown(ActiveState="failed", SubState="failed"))
    run("install", "--no-start")
    ended = run("status")
    assert ended.exit_code == 1
    assert "it has failed: journalctl --user -u stemd shows why\n" in ended.output


def test_status_tells_what_the_users_manager_may_not(systemd, monkeypatch):
    systemd(shown())
    run("install")
    for limits, said in (
        ({"Max realtime priority": "0", "Max locked memory": "65536"}, "real-time priority"),
        ({"Max realtime priority": "95", "Max locked memory": "65536"}, "lock its memory"),
    ):
        monkeypatch.setattr(systemd_service, "_limits_of_manager", lambda limits=limits: limits)
        assert f"it may not {'have ' if 'real' in said else ''}{said}" in run("status").output
    unlimited = {"Max realtime priority": "95", "Max locked memory": "unlimited"}
    monkeypatch.setattr(systemd_service, "_limits_of_manager", lambda: unlimited)
    assert run("status").output == "active (running), enabled\n"


def test_limits_are_those_of_the_manager_that_runs(systemd):
    systemd(f"echo MainPID={os.getpid()}")
    limits = systemd_service._limits_of_manager()
    hard = {"Max realtime priority", "Max locked memory"} & limits.keys()
    assert len(hard) == 2
    assert all(limits[each] == "unlimited" or limits[each].isdecimal() for each in hard)


def test_a_person_who_may_log_out_is_told_to_linger(systemd, monkeypatch):
    systemd(shown(User=ME))
    run("install", "--system", ME)
    monkeypatch.setattr(systemd_service, "FIRST_USER_ID", os.getuid())
    assert "logind" not in run("status", "--system").output
    (systemd_service.LINGER_FOLDER / ME).unlink()
    assert f"sudo loginctl enable-linger {ME}" in run("status", "--system").output


def user_unit(tmp_path):
    unit = tmp_path / "config/systemd/user/stemd.service"
    unit.parent.mkdir(parents=True)
    return unit


@pytest.fixture
def null(tmp_path):
    """A device like /dev/null of our own."""
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("needs root, to make a device")
    return device


def test_a_masked_unit_is_left_alone(systemd, tmp_path, null):
    systemd(shown(UnitFileState="masked"))
    unit = user_unit(tmp_path)
    unit.symlink_to(null)
    said = f"{unit} is masked, a link to {null}: systemctl --user unmask stemd"
    assert fault_of("install") == said
    assert fault_of("uninstall") == said
    assert run("status").output.splitlines()[1] == said
    assert stat.S_IMODE(null.stat().st_mode) == 0o600
    assert unit.is_symlink()


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_nothing_is_written_through_a_link(systemd, tmp_path, target):
    systemd(shown())
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "elsewhere").chmod(0o600)
    unit = user_unit(tmp_path)
    unit.symlink_to(tmp_path / target)
    assert fault_of("install").endswith("which is left alone: remove it first")
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert stat.S_IMODE((tmp_path / "elsewhere").stat().st_mode) == 0o600
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_in_the_place_of_the_unit_is_told(systemd, tmp_path, make):
    systemd(shown())
    make(user_unit(tmp_path))
    assert fault_of("install").startswith(f"cannot write {tmp_path}")


def test_a_full_disk_leaves_no_unit(tmp_path):
    """Neither half of one, nor a folder for it, nor the loss of the one before."""
    out = small_disk.run(
        tmp_path / "disk",
        """
from stemd.daemon.cli.unit_file import write_unit
for before in (None, "before"):
    limit(4)
    unit = folder / "systemd" / "user" / "stemd.service"
    if before:
        unit.parent.mkdir(parents=True)
        unit.write_text(before)
    try:
        write_unit(unit, 100_000 * "x")
    except OSError as error:
        print(error.strerror)
    left = [path for path in folder.rglob("*") if path.is_file() or not before]
    print([path.name for path in left], unit.read_text() if before else "")
""",
    )
    assert [line for line in out.splitlines() if line.startswith("[")] == [
        "[] ",
        "['stemd.service'] before",
    ]


HOSTILE = [
    *("a b", " a ", "a  b", "a%b", "a%%n", "%h", "a$b", "$HOME", "${HOME}", "a$$b", "a;b", "; a"),
    *("#a", "-a", "@a", ":a", "+a", "!a", "a=b", "@user@", "@stemd@", "ä\u00a0é", "日本", "~"),
    *("*?[a]", 'a"b', '"a"', "a'b", "'", "a\\b", "\\x20", "a\\", "$'\"\\ %", "a{b}", "(a)", "`a`"),
]


def words_of(line: str) -> list[str]:
    """A command as systemd reads it: systemd.service(5), systemd.syntax(7), systemd.unit(5)."""
    found = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line)
    words = [re.sub(r"\\(.)", r"\1", quoted) if quoted else bare for quoted, bare in found]
    program, *arguments = (word.replace("%%", "%") for word in words)
    return [program, *(word.replace("$$", "$") for word in arguments)]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_unit_starts_the_program_whatever_its_path(name, tmp_path, monkeypatch):
    program = tmp_path / name / "stemd"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "started: $*"\n')
    program.chmod(0o755)
    monkeypatch.setattr(unit_file.sys, "argv", [str(program)])
    text = unit_file.unit_text(True, ME)
    (line,) = re.findall("^ExecStart=(.*)$", text, re.MULTILINE)
    ended = subprocess.run(words_of(line), capture_output=True, text=True)
    assert ended.stdout == "started: run --server jack\n"
    assert len(text.splitlines()) == len(unit_file.unit_text(True, "x").splitlines())
    assert f"User={ME}\n" in text
    if not shutil.which("systemd-analyze"):
        return
    (tmp_path / "stemd.service").write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "stemd.service"],
        capture_output=True,
        text=True,
    )
    assert "stemd.service:" not in verified.stderr, verified.stderr


@pytest.mark.parametrize(
    "name", ["a\nExecStartPre=/bin/rm", "a\tb", "a\rb", "a\x1bb", "a\x7fb", "a\x85b", "a\udcffb"]
)
def test_a_path_that_no_unit_can_hold_is_refused(name, monkeypatch, tmp_path, systemd):
    systemd(shown())
    program = tmp_path / name / "stemd"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    monkeypatch.setattr(unit_file.sys, "argv", [str(program)])
    assert "has characters that a unit cannot hold" in fault_of("install")
    assert not list(tmp_path.rglob("stemd.service"))


def test_after_the_start_limit_status_tells_why_and_how_to_go_on(systemd, tmp_path):
    systemd(shown())
    run("install")
    failed = {"ActiveState": "failed", "SubState": "failed", "StatusText": "waiting for a server"}
    for told, why in (
        ({"Result": "exit-code", "ExecMainStatus": "1"}, "it ended with exit code 1"),
        ({"Result": "exit-code", "ExecMainStatus": "2"}, "the configuration is wrong (stemd check"),
        ({"Result": "signal", "ExecMainStatus": "9"}, "it was ended by SIGKILL"),
        ({"Result": "watchdog"}, "the watchdog ended it"),
        ({"Result": "start-limit-hit"}, "it was started too often in a short time"),
    ):
        systemd(shown(**failed, **told))
        (tmp_path / "bin" / "journalctl").write_text("#!/bin/sh\necho stemd: no networks\necho x\n")
        (tmp_path / "bin" / "journalctl").chmod(0o755)
        ended = run("status")
        assert ended.exit_code == 1
        assert why in ended.output
        assert "waiting for a server" not in ended.output
        assert "its last words: no networks\n" in ended.output
        assert "systemctl --user reset-failed stemd && systemctl --user start stemd" in ended.output


@pytest.mark.parametrize("variable", ["SUDO_USER", "DOAS_USER"])
@pytest.mark.parametrize("arguments", [["install"], ["uninstall"], ["status"]])
def test_sudo_is_refused_for_a_users_service(variable, arguments, systemd, tmp_path, monkeypatch):
    systemd(shown())
    monkeypatch.setattr(systemd_service.os, "geteuid", lambda: 0)
    monkeypatch.setenv(variable, "ada")
    said = fault_of(*arguments)
    assert "run it without sudo, as the user whose sound it is (ada)" in said
    assert f"sudo {unit_file.program_path()} service install --system ada" in said
    assert not (tmp_path / "asked").exists()
    run("install", "--system", ME)
    assert (tmp_path / "system" / "stemd.service").exists()


@pytest.mark.parametrize("found", [{"LoadState": "not-found"}, {"FragmentPath": "/bin/sh"}])
def test_a_unit_that_systemd_does_not_read_is_refused_and_removed(systemd, tmp_path, found):
    systemd(shown(**found))
    said = fault_of("install")
    assert said.startswith(f"systemd does not read {tmp_path}/config/systemd/user/stemd.service")
    assert "unset XDG_CONFIG_HOME" in said
    assert not list((tmp_path / "config").rglob("*.service"))
    systemd(shown())
    run("install")
    systemd(shown(**found))
    assert "does not read" in fault_of("install")
    assert list((tmp_path / "config").rglob("*.service")), "what was there stays"


def test_a_relative_folder_of_configuration_counts_as_none(systemd, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", "rel")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    systemd(shown())
    assert run("install").exit_code == 0
    assert (tmp_path / ".config" / "systemd" / "user" / "stemd.service").exists()
    assert not (tmp_path / "rel").exists()


def test_the_same_stemd_by_another_path_is_no_other(systemd, monkeypatch, tmp_path):
    systemd(shown())
    real, link = tmp_path / "ve nv" / "stemd", tmp_path / "link"
    real.parent.mkdir()
    real.touch(0o755)
    link.symlink_to(real)
    (tmp_path / "other").touch(0o755)
    for path in (real, link, tmp_path / "bin" / ".." / "ve nv" / "stemd"):
        monkeypatch.setattr(sys, "argv", [str(path)])
        run("install")
        assert ".." not in unit_file.read_unit(systemd_service.Service().unit)
        for other in (real, link):
            monkeypatch.setattr(sys, "argv", [str(other)])
            assert "another stemd" not in run("status").output
        monkeypatch.setattr(sys, "argv", [str(tmp_path / "other")])
        assert "starts another stemd than this one" in run("status").output


def test_a_start_may_take_as_long_as_its_unit_permits():
    for unit in ("user", "system"):
        text = (files("stemd.systemd") / f"stemd.{unit}.service").read_text()
        minutes = int(re.search("^TimeoutStartSec=(\\d+)min$", text, re.MULTILINE)[1])
        assert 60 * minutes < systemctl.START_S
