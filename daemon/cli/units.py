"""stemd as a service of systemd: its unit, how it is, and what the machine lacks for it."""

import errno
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from time import monotonic, sleep
from unicodedata import category

from stemd.daemon.errors import StemdError
from stemd.daemon.findings import Finding, bad, good, hint
from stemd.tflite_models.files import read_ordinary, remove_if_empty, write_whole

NAME = "stemd.service"

SYSTEM_FOLDER = Path("/etc/systemd/system")

LINGER_FOLDER = Path("/var/lib/systemd/linger")
"""Where logind keeps a file for each user who lingers."""

MANAGER_S, LOOK_S = 10.0, 0.2
"""How long a user's service manager may take to start, and how often it is looked for."""

FIRST_USER_ID = 1000
"""Below it are the system's own, whom logind lets alone when they log out (login.defs(5))."""

MOST_BYTES = 1 << 16
"""Of a unit that is there already."""

LOG_LINES = 50
"""Of the journal, among which stemd's last words are looked for."""

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
        return os.path.lexists(self.unit)

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
            The unit is masked or cannot be written, or systemd refuses.
        """
        unit, text = self.unit, unit_text(self.of_machine, user)
        self._refuse_link()
        run([*self.manager, "daemon-reload"])  # who cannot be asked is to be left nothing
        try:
            is_new = _written(unit) != text
            _write(unit, text)
        except OSError as error:
            remedy = "try sudo" if self.of_machine else "look at it"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                remedy = "make room"
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
        self._refuse_link()
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

    def _refuse_link(self) -> None:
        """Leave a link alone: what is written goes where it leads, for a masked unit to /dev/null.

        Raises
        ------
        StemdError
            The unit is a link.
        """
        unit = self.unit
        if not unit.is_symlink():
            return
        target = unit.readlink()
        if _is_device(unit):
            unmask = " ".join([*self.manager, "unmask", "stemd"])
            raise StemdError(f"{unit} is masked, a link to {target}: {unmask}")
        raise StemdError(f"{unit} is a link to {target}, which is left alone: remove it first")

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
        told = self._ask(*keys, "Result", "ExecMainCode", "ExecMainStatus")
        states = told["ActiveState"], told["SubState"]
        is_down = "failed" in states or "auto-restart" in states
        return Condition(
            state=f"{states[0]} ({states[1]}), {told['UnitFileState']}",
            status="" if is_down else told["StatusText"],  # else of the one that has ended
            is_down=is_down,
            troubles=tuple(self._troubles(told, is_down)),
        )

    def _troubles(self, told: dict[str, str], is_down: bool) -> Iterator[str]:
        kind = self.manager[-1]
        if told["NRestarts"] not in ("", "0"):
            yield f"restarted {told['NRestarts']} times: journalctl {kind} -u stemd tells why"
        elif is_down:
            yield f"it has failed: journalctl {kind} -u stemd tells why"
        if is_down and (words := self._last_words()):
            yield f"its last words: {words}"
        try:
            self._refuse_link()
        except StemdError as error:
            yield str(error)
        else:
            yield from self._trouble_of_unit()
        if told["ActiveState"] == "failed":
            yield self._how_to_start_again(told)
        if self.of_machine:
            yield from _lacks_of_machine(told["User"])
        else:
            yield from _lacks_of_user()

    def _trouble_of_unit(self) -> Iterator[str]:
        with suppress(OSError, StemdError):  # what we may not read is somebody else's to mend
            if f"ExecStart={program()} run" not in _written(self.unit):
                yield (
                    f"{self.unit} starts another stemd than this one: stemd service install mends "
                    "it"
                )

    def _how_to_start_again(self, told: dict[str, str]) -> str:
        """Say why systemd has given up, and what makes it try again."""
        sudo = "sudo " if self.of_machine else ""
        systemctl = sudo + " ".join(self.manager)
        return (
            f"{_why_it_ended(told)}, and systemd does not start it again by itself; once that is "
            f"mended: {systemctl} reset-failed stemd && {systemctl} start stemd"
        )

    def _last_words(self) -> str:
        """Return the last error that it logged, if that can be read."""
        unit = "--unit" if self.of_machine else "--user-unit"
        with suppress(StemdError):
            log = run(["journalctl", "--quiet", "--output=cat", f"--lines={LOG_LINES}", unit, NAME])
            said = [line for line in log.splitlines() if line.startswith("stemd: ")]
            return said[-1].removeprefix("stemd: ") if said else ""
        return ""

    def _ask(self, *keys: str) -> dict[str, str]:
        shown = run([*self.manager, "show", NAME, *(f"--property={key}" for key in keys)])
        told = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        return {key: told.get(key, "") for key in keys}


def check_services() -> Iterator[Finding]:
    """Check the user's service and the system-wide one, for `stemd doctor`."""
    installed = 0
    for service in (Service(), Service(of_machine=True)):
        try:
            if not service.is_installed:
                continue
            installed += 1
            condition = service.condition()
        except StemdError as error:
            yield hint("service", str(error))
            continue
        found = "\n".join(filter(None, (condition.state, condition.status)))
        if condition.is_down:
            yield bad("service", found, "\n".join(condition.troubles))
        elif condition.troubles:
            yield hint("service", found, "\n".join(condition.troubles))
        else:
            yield good("service", found)
    if not installed:
        yield good("service", "not installed (stemd service install)")


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


def refuse_sudo() -> None:
    """Refuse to act as root for the user who called sudo: root's services have no sound of theirs.

    Raises
    ------
    StemdError
        This runs under sudo or doas.
    """
    user = os.environ.get("SUDO_USER") or os.environ.get("DOAS_USER")
    if os.geteuid() == 0 and user and user != "root":
        raise StemdError(
            f"this would be root's service: run it without sudo, as the user whose sound it is "
            f"({user}); a service of the machine is installed by: sudo stemd service install "
            f"--system {user}"
        )


def unit_text(of_machine: bool, user: str) -> str:
    """Write a unit for this stemd.

    Raises
    ------
    StemdError
        The program's path cannot stand in a unit.
    """
    kind = "system" if of_machine else "user"
    text = (files("stemd.systemd") / f"stemd.{kind}.service").read_text()
    values = {"stemd": program(), "user": user.replace("%", "%%")}
    # In one pass, for a path may hold @user@.
    return re.sub("@(stemd|user)@", lambda found: values[found[1]], text)


def program() -> str:
    """Return the command as a unit's ExecStart= wants it.

    Raises
    ------
    StemdError
        Its path cannot stand in a unit.
    """
    path = shutil.which(sys.argv[0]) or str(Path(sys.executable).with_name("stemd"))
    return exec_start(str(Path(path).absolute()))


def exec_start(path: str) -> str:
    """Write the path of a program as systemd.service(5) wants a command.

    Raises
    ------
    StemdError
        It has control characters, or is not text: a newline would begin another line of the unit.
    """
    if any(category(each) in ("Cc", "Cs") for each in path):
        raise StemdError(
            f"the path of this program, {path!r}, has characters that a unit cannot hold: install "
            "stemd in another folder"
        )
    if not set(path) & set("\"'\\"):
        return _quoted(path)
    # systemd takes no such name for a program, but for an argument.
    words = ("-c", 'exec "$0" "$@"', path)
    return " ".join(["/bin/sh", *(_quoted(word.replace("$", "$$")) for word in words)])


def _quoted(word: str) -> str:
    """Quote a word where that is needed; see systemd.syntax(7), and systemd.unit(5) about %."""
    word = word.replace("%", "%%")
    if re.fullmatch(r"[\w./+,@:=%-]+", word, re.ASCII):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _written(unit: Path) -> str:
    """Return the text of a unit that is there; nothing where there is none. May raise OSError."""
    try:
        return read_ordinary(unit, MOST_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""


def _write(unit: Path, text: str) -> None:
    """Write a unit whole or not at all, for everybody to read; no folder is left for nothing."""
    missing = [folder for folder in unit.parents if not folder.exists()]
    try:
        unit.parent.mkdir(parents=True, exist_ok=True)
        write_whole(unit, text.encode())
    except OSError:
        remove_if_empty(*missing)
        raise


def _is_device(path: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISCHR(path.stat().st_mode)
    return False


def _why_it_ended(told: dict[str, str]) -> str:
    """Say what systemd tells of the last run; see "Result=" in org.freedesktop.systemd1(5)."""
    result, code = told["Result"], told["ExecMainStatus"]
    if result == "exit-code" and code == "2":
        return "the configuration is wrong (stemd check tells where)"
    if result in ("signal", "core-dump"):
        with suppress(ValueError):
            code = signal.Signals(int(code)).name
    reasons = {
        "exit-code": f"it ended with exit code {code}",
        "signal": f"it was ended by {code}",
        "core-dump": f"it crashed ({code})",
        "watchdog": "it stood still, and the watchdog ended it",
        "timeout": "it did not start in time",
        "oom-kill": "the memory was full, and the kernel ended it",
        "start-limit-hit": "it was started too often in a short time",
    }
    return reasons.get(result, f"it failed ({result or 'for no reason that systemd tells'})")


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
