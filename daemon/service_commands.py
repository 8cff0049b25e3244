"""`stemd service`: the systemd units, put in place and looked after."""

import getpass
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import click

from stemd.daemon.errors import StemdError

NAME = "stemd.service"

SYSTEM_FOLDER = Path("/etc/systemd/system")

MANAGER_LIMITS = """\
sudo mkdir -p /etc/systemd/system/user@.service.d
printf '[Service]\\nLimitRTPRIO=95\\nLimitMEMLOCK=infinity\\n' | \\
  sudo tee /etc/systemd/system/user@.service.d/realtime.conf
sudo systemctl daemon-reload
sudo systemctl restart user@$(id -u)    # ends all that you run; or restart the machine"""


@click.group()
def service() -> None:
    """Have systemd start stemd, and look after it."""


@service.command()
@click.option("--linger", is_flag=True, help="Start it with the machine, before anybody logs in.")
@click.option(
    "--system",
    "user",
    metavar="USER",
    help="As a service of the machine instead, run by USER, who runs jackd too; asks for root.",
)
@click.option("--no-start", is_flag=True, help="Start it with the next login or boot only.")
def install(linger: bool, user: str | None, no_start: bool) -> None:
    """Put the unit in place, enable it and start it."""
    unit = _unit(user)
    try:
        unit.parent.mkdir(parents=True, exist_ok=True)
        unit.write_text(unit_text(user))
    except OSError as error:
        raise StemdError(
            f"cannot write {unit}: {error.strerror}; " + ("try sudo" if user else "look at it")
        ) from None
    click.echo(f"wrote {unit}")
    manager = _manager(user)
    _run([*manager, "daemon-reload"])
    _run([*manager, "enable", *([] if no_start else ["--now"]), NAME])
    if linger:
        _run(["loginctl", "enable-linger", getpass.getuser()])
    click.echo(f"enabled; {' '.join(manager)} status stemd tells how it is")
    for lack in lacks(user):
        click.echo(lack, err=True)


@service.command()
@click.option("--system", "system", is_flag=True, help="The service of the machine.")
def uninstall(system: bool) -> None:
    """Stop the service and take the unit away."""
    unit = _unit("root" if system else None)
    if not unit.exists():
        raise StemdError(f"there is no {unit}: nothing is installed")
    manager = _manager("root" if system else None)
    _run([*manager, "disable", "--now", NAME])
    try:
        unit.unlink()
    except OSError as error:
        raise StemdError(f"cannot remove {unit}: {error.strerror}; try sudo") from None
    _run([*manager, "daemon-reload"])
    click.echo(f"removed {unit}")


@service.command()
@click.option("--system", "system", is_flag=True, help="The service of the machine.")
def status(system: bool) -> None:
    """Tell whether the service runs, and what the machine still lacks for it."""
    user = "root" if system else None
    if not is_installed(user):
        raise StemdError(f"there is no {_unit(user)}: stemd service install puts it there")
    for line in (*how_it_is(user), *lacks(user)):
        click.echo(line)


def is_installed(user: str | None) -> bool:
    """Tell whether there is a unit, of the machine where a user is given."""
    return _unit(user).exists()


def how_it_is(user: str | None) -> list[str]:
    """Tell what systemd knows of the service, first its state.

    Raises
    ------
    StemdError
        It cannot be asked.
    """
    unit, manager = _unit(user), _manager(user)
    keys = ("ActiveState", "SubState", "UnitFileState", "StatusText", "NRestarts")
    shown = _run([*manager, "show", NAME, *(f"--property={key}" for key in keys)])
    told = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    lines = [f"{told['ActiveState']} ({told['SubState']}), {told['UnitFileState']}"]
    if told["StatusText"]:
        lines.append(told["StatusText"])
    if told["NRestarts"] != "0":
        lines.append(f"restarted {told['NRestarts']} times: journalctl {manager[-1]} -u stemd")
    if f"ExecStart={program()} run" not in unit.read_text():
        lines.append(f"{unit} starts another stemd than this one: stemd service install mends it")
    return lines


def unit_text(user: str | None) -> str:
    """Write a unit for this stemd, of the machine where a user is given."""
    kind = "system" if user else "user"
    text = (files("stemd.systemd") / f"stemd.{kind}.service").read_text()
    return text.replace("@stemd@", program()).replace("@user@", user or "")


def program() -> str:
    """Return the path of the command, as a unit wants it."""
    path = shutil.which(sys.argv[0]) or str(Path(sys.executable).with_name("stemd"))
    path = str(Path(path).absolute())
    return path.replace("%", "%%").replace(" ", "\\x20")


def lacks(user: str | None) -> list[str]:
    """Tell what the machine still lacks for a service that never stumbles."""
    if user:
        return []
    found = []
    if not Path(f"/var/lib/systemd/linger/{getpass.getuser()}").exists():
        found.append(
            "it runs while you are logged in; to start it with the machine: "
            "loginctl enable-linger (or stemd service install --linger)"
        )
    shown = _run(["systemctl", "show", f"user@{os.getuid()}.service", "--property=LimitRTPRIO"])
    if shown.strip() in ("LimitRTPRIO=0", ""):
        found.append(
            "it may not have real-time priority, and may stumble when the machine is busy: the "
            f"user's service manager must allow it:\n{MANAGER_LIMITS}"
        )
    return found


def _unit(user: str | None) -> Path:
    if user:
        return SYSTEM_FOLDER / NAME
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "systemd" / "user" / NAME


def _manager(user: str | None) -> list[str]:
    return ["systemctl", "--system" if user else "--user"]


def _run(command: list[str]) -> str:
    try:
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise StemdError(f"there is no {command[0]}: this machine has no systemd") from None
    if ended.returncode:
        reason = ended.stderr.strip() or f"exit code {ended.returncode}"
        raise StemdError(f"{' '.join(command)} failed: {reason}")
    return ended.stdout
