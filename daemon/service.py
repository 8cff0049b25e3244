"""stemd as a service of systemd: its unit, how it is, and what the machine lacks for it."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from time import monotonic, sleep

from stemd.daemon.errors import StemdError

NAME = "stemd.service"

SYSTEM_FOLDER = Path("/etc/systemd/system")

LINGER_FOLDER = Path("/var/lib/systemd/linger")
"""Where logind keeps a file for each user who lingers."""

MANAGER_S, LOOK_S = 10.0, 0.2
"""How long a user's service manager may take to start, and how often it is looked for."""

FIRST_USER_ID = 1000
"""Below it are the system's own, whom logind lets alone when they log out (login.defs(5))."""

MANAGER_LIMITS = """\
sudo mkdir -p /etc/systemd/system/user@.service.d
printf '[Service]\\nLimitRTPRIO=95\\nLimitMEMLOCK=infinity\\n' | \\
  sudo tee /etc/systemd/system/user@.service.d/realtime.conf
sudo systemctl daemon-reload
sudo systemctl restart user@$(id -u)    # ends all that you run; or restart the machine"""


@dataclass(frozen=True)
class Condition:
    """How a service is.

    Attributes
    ----------
    state : str
        What systemd says.
    status : str
        What stemd itself says of it.
    is_down : bool
        It has failed, or fails again and again.
    troubles : tuple of str
        What is wrong, and what to do about it.
    """

    state: str
    status: str
    is_down: bool
    troubles: tuple[str, ...]


@dataclass(frozen=True)
class Service:
    """stemd, as a user's service manager knows it, or the machine's.

    Attributes
    ----------
    of_machine : bool
    """

    of_machine: bool = False

    @property
    def unit(self) -> Path:
        """Where its unit is put.

        Raises
        ------
        StemdError
            There is no home folder to put it in.
        """
        if self.of_machine:
            return SYSTEM_FOLDER / NAME
        config = os.environ.get("XDG_CONFIG_HOME")
        try:
            folder = Path(config) if config else Path.home() / ".config"
        except RuntimeError:
            raise StemdError(
                "there is no home folder for a user's unit: set HOME or XDG_CONFIG_HOME"
            ) from None
        return folder / "systemd" / "user" / NAME

    @property
    def manager(self) -> list[str]:
        """The command that asks its service manager."""
        return ["systemctl", "--system" if self.of_machine else "--user"]

    @property
    def is_installed(self) -> bool:
        """Whether there is a unit."""
        return self.unit.exists()

    def install(self, user: str, starts: bool) -> None:
        """Put the unit in place, and let it start with the machine or the login.

        Parameters
        ----------
        user : str
            Whose service it is, or as whom the machine's is to run.
        starts : bool
            Start it now, too; one that runs already starts anew if its unit is another.

        Raises
        ------
        StemdError
            The unit cannot be written, or systemd refuses.
        """
        unit, text = self.unit, unit_text(self.of_machine, user)
        run([*self.manager, "daemon-reload"])  # who cannot be asked is to be left nothing
        try:
            is_new = not unit.exists() or unit.read_text() != text
            unit.parent.mkdir(parents=True, exist_ok=True)
            unit.write_text(text)
            unit.chmod(0o644)  # everybody may see what runs
        except OSError as error:
            remedy = "try sudo" if self.of_machine else "look at it"
            raise StemdError(f"cannot write {unit}: {error.strerror}; {remedy}") from None
        run([*self.manager, "daemon-reload"])
        if is_new and starts:
            run([*self.manager, "try-restart", NAME])
        run([*self.manager, "enable", *(["--now"] if starts else []), NAME])

    def uninstall(self) -> None:
        """Stop it and take the unit away.

        Raises
        ------
        StemdError
            There is none, or it cannot be removed.
        """
        unit = self.unit
        if not unit.exists():
            raise StemdError(f"there is no {unit}: nothing is installed")
        try:
            run([*self.manager, "disable", "--now", NAME])
        finally:  # whatever systemd says to it
            try:
                unit.unlink()
            except OSError as error:
                raise StemdError(f"cannot remove {unit}: {error.strerror}; try sudo") from None
        run([*self.manager, "daemon-reload"])

    def condition(self) -> Condition:
        """Ask systemd how it is.

        Raises
        ------
        StemdError
            It cannot be asked, or nothing is installed.
        """
        if not self.is_installed:
            if not self.of_machine and Service(of_machine=True).is_installed:
                raise StemdError(f"there is no {self.unit}; the machine's service: --system")
            raise StemdError(f"there is no {self.unit}: stemd service install puts it there")
        keys = ("ActiveState", "SubState", "UnitFileState", "StatusText", "NRestarts", "User")
        told = self._ask(*keys)
        states = told["ActiveState"], told["SubState"]
        is_down = "failed" in states or "auto-restart" in states
        return Condition(
            state=f"{states[0]} ({states[1]}), {told['UnitFileState']}",
            status=told["StatusText"],
            is_down=is_down,
            troubles=tuple(self._troubles(told, is_down)),
        )

    def _troubles(self, told: dict[str, str], is_down: bool) -> Iterator[str]:
        kind = self.manager[-1]
        if told["NRestarts"] not in ("", "0"):
            yield f"restarted {told['NRestarts']} times: journalctl {kind} -u stemd tells why"
        elif is_down:
            yield f"it has failed: journalctl {kind} -u stemd tells why"
        with suppress(OSError):  # what we may not read is somebody else's to mend
            if f"ExecStart={program()} run" not in self.unit.read_text():
                yield (
                    f"{self.unit} starts another stemd than this one: stemd service install mends "
                    "it"
                )
        if self.of_machine:
            yield from _lacks_of_machine(told["User"])
        else:
            yield from _lacks_of_user()

    def _ask(self, *keys: str) -> dict[str, str]:
        shown = run([*self.manager, "show", NAME, *(f"--property={key}" for key in keys)])
        told = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        return {key: told.get(key, "") for key in keys}


def linger(user: str) -> None:
    """Have logind start a user's services with the machine; from now on, too.

    Raises
    ------
    StemdError
        It refuses.
    """
    run(["loginctl", "enable-linger", user])
    if user == user_name():
        _await(Service().manager)


def _await(manager: list[str]) -> None:
    """Wait for a service manager that logind has just started, but not for ever."""
    until = monotonic() + MANAGER_S
    while monotonic() < until:
        with suppress(StemdError):
            run([*manager, "show", "--property=Version"])
            return
        sleep(LOOK_S)


def user_name() -> str:
    """Return the name of who runs this.

    Raises
    ------
    StemdError
        There is none.
    """
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise StemdError(
            f"the system knows no user {os.getuid()}: a service needs one (useradd)"
        ) from None


def unit_text(of_machine: bool, user: str) -> str:
    """Write a unit for this stemd."""
    kind = "system" if of_machine else "user"
    text = (files("stemd.systemd") / f"stemd.{kind}.service").read_text()
    return text.replace("@stemd@", program()).replace("@user@", user)


def program() -> str:
    """Return the path of the command, as a unit wants it."""
    path = shutil.which(sys.argv[0]) or str(Path(sys.executable).with_name("stemd"))
    path = str(Path(path).absolute())
    return path.replace("%", "%%").replace(" ", "\\x20")


def run(command: list[str]) -> str:
    """Return what a command of systemd's says.

    Raises
    ------
    StemdError
        It fails.
    """
    try:
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise StemdError(f"there is no {command[0]}: this machine has no systemd") from None
    if ended.returncode:
        reason = ended.stderr.strip() or f"exit code {ended.returncode}"
        raise StemdError(f"{' '.join(command)} failed: {reason}")
    return ended.stdout


def _lacks_of_user() -> Iterator[str]:
    """Tell what a user's service needs to start and never to stumble."""
    if not (LINGER_FOLDER / user_name()).exists():
        yield (
            "it runs while you are logged in; to start it with the machine: "
            "loginctl enable-linger (or stemd service install --linger)"
        )
    may = _limits_of_manager()
    if may.get("Max realtime priority") == "0":
        yield (
            "it may not have real-time priority, and may stumble when the machine is busy: the "
            f"user's service manager must allow it:\n{MANAGER_LIMITS}"
        )
    elif may.get("Max locked memory", "unlimited") != "unlimited":
        yield (
            "it may not lock its memory, and what is swapped out comes back late: the user's "
            f"service manager must allow it:\n{MANAGER_LIMITS}"
        )


def _lacks_of_machine(user: str) -> Iterator[str]:
    """Tell what may end the sound of the machine's service."""
    with suppress(KeyError):
        is_person = pwd.getpwnam(user).pw_uid >= FIRST_USER_ID
        if is_person and not (LINGER_FOLDER / user).exists():
            yield (
                f"when {user} has logged in and out, logind removes the shared memory of their "
                f"jackd (RemoveIPC= in logind.conf): sudo loginctl enable-linger {user}"
            )


def _limits_of_manager() -> dict[str, str]:
    """Give the hard limits of the service manager that runs; of proc(5), by their names there."""
    shown = run(["systemctl", "show", f"user@{os.getuid()}.service", "--property=MainPID"])
    with suppress(OSError):
        lines = Path(f"/proc/{shown.strip().partition('=')[2]}/limits").read_text().splitlines()
        return {line[:26].strip(): line[26:].split()[1] for line in lines[1:]}
    return {}
