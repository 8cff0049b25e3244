"""`stemd service` where there is no systemd, or none that answers; tests/service has the rest."""

import pytest
from click.testing import CliRunner

from stemd.daemon import service_commands
from stemd.daemon.cli import cli
from stemd.daemon.errors import StemdError


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(service_commands, "SYSTEM_FOLDER", tmp_path / "system")


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """A function that sets what systemctl says and how it ends."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "systemctl"

    def says(script: str) -> None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return says


def run(*arguments):
    return CliRunner().invoke(cli, ["service", *arguments])


def fault_of(*arguments) -> str:
    error = run(*arguments).exception
    assert isinstance(error, StemdError), error
    return str(error)


def test_what_is_not_installed_has_no_status_and_is_not_removed():
    assert "stemd service install puts it there" in fault_of("status")
    assert "nothing is installed" in fault_of("uninstall")
    assert "system/stemd.service" in fault_of("status", "--system")


def test_a_machine_without_systemd_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fault_of("install") == "there is no systemctl: this machine has no systemd"


def test_what_systemd_says_is_passed_on(systemd):
    systemd("echo Failed to connect to bus >&2; exit 1")
    said = fault_of("install")
    assert said == "systemctl --user daemon-reload failed: Failed to connect to bus"


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "system").write_text("")
    assert fault_of("install", "--system", "me").endswith("; try sudo")


def test_status_tells_of_restarts_and_of_a_unit_for_another_stemd(systemd, tmp_path):
    systemd("exit 0")
    assert run("install", "--system", "me").exit_code == 0
    unit = tmp_path / "system" / "stemd.service"
    unit.write_text(unit.read_text().replace("ExecStart=/", "ExecStart=/elsewhere/"))
    state = ("ActiveState=failed", "SubState=failed", "UnitFileState=enabled", "StatusText=")
    systemd(f"printf '%s\\n' {' '.join(state)} NRestarts=3")
    said = run("status", "--system").output.splitlines()
    assert said[:2] == [
        "failed (failed), enabled",
        "restarted 3 times: journalctl --system -u stemd",
    ]
    assert "starts another stemd than this one" in said[2]
