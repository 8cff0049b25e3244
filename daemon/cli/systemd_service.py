"""stemd as a service of systemd: install it, remove it, and judge its state."""

import errno
import os
import pwd
import signal
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from time import monotonic, sleep

from platformdirs import user_config_path

from stemd.daemon.cli.systemctl import START_S, run
from stemd.daemon.cli.unit_file import (
    program_path,
    read_unit,
    starts_this_stemd,
    unit_text,
    write_unit,
)
from stemd.daemon.errors import StemdError
from stemd.daemon.findings import Finding, bad, good, hint
from stemd.daemon.wording import counted

NAME = "stemd.service"

SYSTEM_FOLDER = Path("/etc/systemd/system")

LINGER_FOLDER = Path("/var/lib/systemd/linger")
"""Where logind keeps a file for each user who lingers."""

MANAGER_S, LOOK_S = 10.0, 0.2
"""How long a user's service manager may take to start, and how often it is looked for."""

FIRST_USER_ID = 1000
"""Below it are the system's own, whom logind lets alone when they log out (login.defs(5))."""

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
    """The state of a service.

    Attributes
    ----------
    state : str
        What systemd says.
    status : str
        What stemd itself says of it.
    is_down : bool
        Whether it has failed, or fails again and again.
    troubles : tuple of str
        What is wrong, each with the remedy.
    """

    state: str
    status: str
    is_down: bool
    troubles: tuple[str, ...]


@dataclass(frozen=True)
class Service:
    """stemd as a service of the user's, or as the system-wide one.

    Attributes
    ----------
    system_wide : bool
    """

    system_wide: bool = False

    @property
    def unit(self) -> Path:
        """The path of its unit.

        Raises
        ------
        StemdError
            There is no home folder to put it in.
        """
        if self.system_wide:
            return SYSTEM_FOLDER / NAME
        try:
            folder = user_config_path("systemd")
        except RuntimeError:
            folder = Path("~")
        if folder.parts[:1] == ("~",):  # what older versions of platformdirs give
            raise StemdError(
                "there is no home folder for a user's unit: set HOME or XDG_CONFIG_HOME"
            )
        return folder / "user" / NAME

    @property
    def manager(self) -> list[str]:
        """The systemctl command for its service manager."""
        return ["systemctl", "--system" if self.system_wide else "--user"]

    @property
    def is_installed(self) -> bool:
        """Whether its unit exists, or one that a package of the system brings is enabled."""
        return os.path.lexists(self.unit) or self._link_to_packaged.exists()

    @property
    def _link_to_packaged(self) -> Path:
        """The link that `systemctl enable` makes to a unit."""
        target = "multi-user" if self.system_wide else "default"
        return self.unit.parent / f"{target}.target.wants" / NAME

    def install(self, user: str, starts: bool, options: Sequence[str] = ()) -> None:
        """Write the unit, and enable it: it starts with the machine or the login.

        Parameters
        ----------
        user : str
            The user whose service it is, or as whom the system-wide one runs.
        starts : bool
            Start it now too; if it runs already and its unit changes, it is restarted.
        options : sequence of str
            Of `stemd run`, for a user's service only.

        Raises
        ------
        StemdError
            The unit is masked or cannot be written, or systemd refuses.
        """
        unit, text = self.unit, unit_text(self.system_wide, user, options)
        self._refuse_link()
        run([*self.manager, "daemon-reload"])  # without a manager, nothing is written
        try:
            before = read_unit(unit)
            write_unit(unit, text)
        except OSError as error:
            remedy = "try sudo" if self.system_wide else "look at it"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                remedy = "make room"
            raise StemdError(f"cannot write {unit}: {error.strerror}; {remedy}") from None
        run([*self.manager, "daemon-reload"])
        self._check_is_found(remove=not before)
        if before != text and starts:
            run([*self.manager, "try-restart", NAME], START_S)
        run([*self.manager, "enable", *(["--now"] if starts else []), NAME], START_S)

    def _check_is_found(self, remove: bool) -> None:
        """Check that systemd reads the unit; one that it does not read may be removed again.

        Raises
        ------
        StemdError
            It does not.
        """
        read, unit = self._ask("LoadState", "FragmentPath"), self.unit
        instead = read["FragmentPath"]
        if read["LoadState"] != "not-found" and (not instead or _is_same(unit, Path(instead))):
            return
        if remove:
            with suppress(OSError):
                unit.unlink()
        remedy = f"remove {instead}, or move it away"
        if not self.system_wide and os.environ.get("XDG_CONFIG_HOME"):
            remedy = "unset XDG_CONFIG_HOME, which the service manager has otherwise"
        elif not instead:
            remedy = f"look why: systemctl {self.manager[-1]} show {NAME}"
        raise StemdError(
            f"systemd does not read {unit}, but {instead or 'no file of this name'}; {remedy}"
        )

    def uninstall(self) -> None:
        """Stop it and remove the unit.

        Raises
        ------
        StemdError
            There is none, or it cannot be removed.
        """
        unit = self.unit
        self._refuse_link()
        if not self.is_installed:
            raise StemdError(f"there is no {unit}: nothing is installed")
        try:
            run([*self.manager, "disable", "--now", NAME])
        finally:  # even where systemd refuses
            try:
                unit.unlink(missing_ok=True)
            except OSError as error:
                raise StemdError(f"cannot remove {unit}: {error.strerror}; try sudo") from None
        run([*self.manager, "daemon-reload"])

    def _refuse_link(self) -> None:
        """Refuse a unit that is a link: writing goes where it leads, for a masked one to /dev/null.

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
        """Return the state of the service, as systemd reports it.

        Raises
        ------
        StemdError
            It cannot be asked, or nothing is installed.
        """
        if not self.is_installed:
            if not self.system_wide and Service(system_wide=True).is_installed:
                raise StemdError(f"there is no {self.unit}; the system-wide service: --system")
            raise StemdError(f"there is no {self.unit}: stemd service install puts it there")
        keys = ("ActiveState", "SubState", "UnitFileState", "StatusText", "NRestarts", "User")
        properties = self._ask(*keys, "Result", "ExecMainCode", "ExecMainStatus")
        states = properties["ActiveState"], properties["SubState"]
        is_down = "failed" in states or "auto-restart" in states
        return Condition(
            state=f"{states[0]} ({states[1]}), {properties['UnitFileState']}",
            status="" if is_down else properties["StatusText"],  # else of the one that has ended
            is_down=is_down,
            troubles=tuple(self._troubles(properties, is_down)),
        )

    def _troubles(self, properties: dict[str, str], is_down: bool) -> Iterator[str]:
        kind = self.manager[-1]
        if properties["NRestarts"] not in ("", "0"):
            times = counted(int(properties["NRestarts"]), "time")
            yield f"restarted {times}: journalctl {kind} -u stemd shows why"
        elif is_down:
            yield f"it has failed: journalctl {kind} -u stemd shows why"
        if is_down and (words := self._last_words()):
            yield f"its last words: {words}"
        try:
            self._refuse_link()
        except StemdError as error:
            yield str(error)
        else:
            yield from self._trouble_of_unit()
        if properties["ActiveState"] == "failed":
            yield self._how_to_start_again(properties)
        if self.system_wide:
            yield from _lacks_system_wide(properties["User"])
        else:
            yield from _lacks_of_user()

    def _trouble_of_unit(self) -> Iterator[str]:
        with suppress(OSError, StemdError):  # a unit that this user may not read is not judged
            unit = self.unit if self.unit.exists() else self._link_to_packaged.resolve()
            if not starts_this_stemd(read_unit(unit)):
                yield (f"{unit} starts another stemd than this one: run `stemd service install`")

    def _how_to_start_again(self, properties: dict[str, str]) -> str:
        """Return why systemd has given up, and what makes it try again."""
        sudo = "sudo " if self.system_wide else ""
        systemctl = sudo + " ".join(self.manager)
        return (
            f"{_why_it_ended(properties)}, and systemd does not start it again by itself; once "
            f"that is corrected: {systemctl} reset-failed stemd && {systemctl} start stemd"
        )

    def _last_words(self) -> str:
        """Return the last error that the service logged, if that can be read."""
        unit = "--unit" if self.system_wide else "--user-unit"
        with suppress(StemdError):
            log = run(["journalctl", "--quiet", "--output=cat", f"--lines={LOG_LINES}", unit, NAME])
            said = [line for line in log.splitlines() if line.startswith("stemd: ")]
            return said[-1].removeprefix("stemd: ") if said else ""
        return ""

    def _ask(self, *keys: str) -> dict[str, str]:
        shown = run([*self.manager, "show", NAME, *(f"--property={key}" for key in keys)])
        properties = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        return {key: properties.get(key, "") for key in keys}


def check_services() -> Iterator[Finding]:
    """Check the user's service and the system-wide one, for `stemd doctor`."""
    installed = 0
    for service in (Service(), Service(system_wide=True)):
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
    """Let logind start a user's services with the machine, and start their manager now.

    Raises
    ------
    StemdError
        It refuses.
    """
    run(["loginctl", "enable-linger", user])
    if user == user_name():
        _await(Service().manager)


def _await(manager: list[str]) -> None:
    """Wait until a service manager that logind has just started answers, up to `MANAGER_S`."""
    until = monotonic() + MANAGER_S
    while monotonic() < until:
        with suppress(StemdError):
            run([*manager, "show", "--property=Version"])
            return
        sleep(LOOK_S)


def user_name() -> str:
    """Return the name of the user who runs this.

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
    """Refuse to run under sudo: root's service could not reach the user's audio server.

    Raises
    ------
    StemdError
        This runs under sudo or doas.
    """
    user = os.environ.get("SUDO_USER") or os.environ.get("DOAS_USER")
    if os.geteuid() == 0 and user and user != "root":
        raise StemdError(
            f"this would be root's service: run it without sudo, as the user whose sound it is "
            f"({user}); the system-wide service is installed by: sudo {quote(str(program_path()))} "
            f"service install --system {user}"
        )


def _is_same(unit: Path, other: Path) -> bool:
    """Whether two paths are of one file; one of another mount namespace is judged by its name."""
    with suppress(OSError):
        return unit.samefile(other)
    return unit.resolve() == other


def _is_device(path: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISCHR(path.stat().st_mode)
    return False


def _why_it_ended(properties: dict[str, str]) -> str:
    """Return how the last run ended; see "Result=" in org.freedesktop.systemd1(5)."""
    result, code = properties["Result"], properties["ExecMainStatus"]
    if result == "exit-code" and code == "2":
        return "the configuration is wrong (stemd check shows where)"
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
    return reasons.get(result, f"it failed ({result or 'systemd gives no reason'})")


def _lacks_of_user() -> Iterator[str]:
    """Yield what a user's service lacks to start with the machine and play without drop-outs."""
    if not (LINGER_FOLDER / user_name()).exists():
        yield (
            "it runs while you are logged in; to start it with the machine: "
            "loginctl enable-linger (or stemd service install --linger)"
        )
    may = _limits_of_manager()
    if may.get("Max realtime priority") == "0":
        yield (
            "it may not have real-time priority, and audio may drop out under load: the "
            f"user's service manager must allow it:\n{MANAGER_LIMITS}"
        )
    elif may.get("Max locked memory", "unlimited") != "unlimited":
        yield (
            "it may not lock its memory, and what is swapped out comes back late: the user's "
            f"service manager must allow it:\n{MANAGER_LIMITS}"
        )


def _lacks_system_wide(user: str) -> Iterator[str]:
    """Yield what may end the sound of the system-wide service."""
    with suppress(KeyError):
        is_person = pwd.getpwnam(user).pw_uid >= FIRST_USER_ID
        if is_person and not (LINGER_FOLDER / user).exists():
            yield (
                f"when {user} has logged in and out, logind removes the shared memory of their "
                f"jackd (RemoveIPC= in logind.conf): sudo loginctl enable-linger {user}"
            )


def _limits_of_manager() -> dict[str, str]:
    """Return the hard limits of the user's service manager, by their names in proc(5)."""
    shown = run(["systemctl", "show", f"user@{os.getuid()}.service", "--property=MainPID"])
    with suppress(OSError):
        lines = Path(f"/proc/{shown.strip().partition('=')[2]}/limits").read_text().splitlines()
        return {line[:26].strip(): line[26:].split()[1] for line in lines[1:]}
    return {}
