"""A machine that is up, and a user on it."""

import os
from pathlib import Path

import pytest

from booting import JACK, UP, USER, USER_ID, Machine, User
from waiting import wait_until


@pytest.fixture(scope="session")
def machine(tmp_path_factory, request):
    """One that is up, with a user whose jackd is a service."""
    if os.geteuid():
        pytest.fail("only root may boot a machine: sudo make service-test")
    made = Machine(tmp_path_factory.mktemp("machine"))
    request.addfinalizer(made.halt)
    made.boot()
    unit = f"/home/{USER}/.config/systemd/user/jack.service"
    for who, command in (
        (None, ["useradd", "--uid", USER_ID, "--create-home", USER]),
        (USER, ["mkdir", "-p", Path(unit).parent]),
        (USER, ["sh", "-c", f"cat > {unit} <<'END'\n{JACK}END"]),
        (None, ["loginctl", "enable-linger", USER]),
    ):
        ended = made.run(*command, user=who)
        assert ended.returncode == 0, ended.stderr
    return made


@pytest.fixture(scope="session")
def user(machine):
    """Who is there; their service manager is up."""
    made = User(machine)
    wait_until(
        lambda: (
            machine.run("systemctl", "--user", "is-system-running", user=USER).stdout.strip() in UP
        )
    )
    made("systemctl", "--user", "daemon-reload")
    made("systemctl", "--user", "enable", "--now", "jack.service")
    return made
