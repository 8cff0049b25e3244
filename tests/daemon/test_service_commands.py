"""`stemd service` where there is no systemd, or none that answers; tests/service has the rest."""

import getpass
import os

import pytest
from click.testing import CliRunner

from stemd.daemon import service
from stemd.daemon.cli import cli
from stemd.daemon.errors import StemdError

ME = getpass.getuser()


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(service, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setattr(service, "LINGER_FOLDER", tmp_path / "linger")
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


def test_one_of_the_machine_is_pointed_out_where_the_users_own_is_asked_for(systemd):
    systemd(shown(User=ME))
    run("install", "--system", ME)
    assert "the machine's service: --system" in fault_of("status")


def test_a_machine_without_systemd_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fault_of("install") == "there is no systemctl: this machine has no systemd"


def test_what_systemd_says_is_passed_on_and_nothing_is_left(systemd, tmp_path):
    systemd("echo Failed to connect to bus >&2; exit 1")
    said = fault_of("install")
    assert said == "systemctl --user daemon-reload failed: Failed to connect to bus"
    assert not list(tmp_path.rglob("stemd.service"))


def test_a_unit_that_systemd_knows_nothing_of_can_be_taken_away(systemd, tmp_path):
    systemd(shown())
    run("install")
    systemd("echo Failed to connect to bus >&2; exit 1")
    assert "Failed to connect to bus" in fault_of("uninstall")
    assert not list(tmp_path.rglob("stemd.service"))


def test_a_wrong_configuration_is_told_before_anything_is_done(systemd, tmp_path, monkeypatch):
    systemd(shown())
    (tmp_path / "stemd").mkdir()
    (tmp_path / "stemd" / "config.yaml").write_text("foo: bar\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert "foo: unknown key" in fault_of("install")
    assert not list(tmp_path.rglob("stemd.service"))


def test_a_folder_that_cannot_be_written_is_told(systemd, tmp_path):
    systemd(shown())
    (tmp_path / "system").write_text("")
    assert fault_of("install", "--system", ME).endswith("; try sudo")


def test_a_user_whom_nobody_knows_is_refused_before_anything_is_done(tmp_path):
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

    monkeypatch.setattr(service.pwd, "getpwuid", unknown)
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
    monkeypatch.setattr(service, "LOOK_S", 0.01)
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
        "restarted 3 times: journalctl --system -u stemd tells why",
    ]
    assert "starts another stemd than this one" in said[2]


def test_status_of_one_that_failed_at_once_tells_where_to_look(systemd):
    systemd(shown(ActiveState="failed", SubState="failed"))
    run("install", "--no-start")
    ended = run("status")
    assert ended.exit_code == 1
    assert "it has failed: journalctl --user -u stemd tells why\n" in ended.output


def test_status_tells_what_the_users_manager_may_not(systemd, monkeypatch):
    systemd(shown())
    run("install")
    for limits, said in (
        ({"Max realtime priority": "0", "Max locked memory": "65536"}, "real-time priority"),
        ({"Max realtime priority": "95", "Max locked memory": "65536"}, "lock its memory"),
    ):
        monkeypatch.setattr(service, "_limits_of_manager", lambda limits=limits: limits)
        assert f"it may not {'have ' if 'real' in said else ''}{said}" in run("status").output
    unlimited = {"Max realtime priority": "95", "Max locked memory": "unlimited"}
    monkeypatch.setattr(service, "_limits_of_manager", lambda: unlimited)
    assert run("status").output == "active (running), enabled\n"


def test_limits_are_those_of_the_manager_that_runs(systemd):
    systemd(f"echo MainPID={os.getpid()}")
    limits = service._limits_of_manager()
    hard = {"Max realtime priority", "Max locked memory"} & limits.keys()
    assert len(hard) == 2
    assert all(limits[each] == "unlimited" or limits[each].isdecimal() for each in hard)


def test_a_person_who_may_log_out_is_told_to_linger(systemd, monkeypatch):
    systemd(shown(User=ME))
    run("install", "--system", ME)
    monkeypatch.setattr(service, "FIRST_USER_ID", os.getuid())
    assert "logind" not in run("status", "--system").output
    (service.LINGER_FOLDER / ME).unlink()
    assert f"sudo loginctl enable-linger {ME}" in run("status", "--system").output
