"""What stemd asked of the system to play in real time, and what of it was granted."""

import grp
import logging
import os
import pwd
import resource
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stemd.daemon.engine.scheduling import (
    CAP_SYS_NICE,
    ENOUGH_TO_LOCK,
    LOWEST,
    NORMAL,
    Role,
    has_capability,
    is_rtkit_asked,
    may_lock_memory,
    memory_is_locked,
    overran_rtkit,
    permitted_by_rtkit,
    rtprio_limit,
    scheduled,
    wanted_below,
)

log = logging.getLogger(__name__)

SETTLED_S = 0.5
"""After so long with a server its priority and ours are judged: PipeWire's thread gets its priority
from rtkit some 10 ms after it has begun, and in a busy machine later."""

LIMITS = (Path("/etc/security/limits.conf"), Path("/etc/security/limits.d"))

PREFERRED_GROUPS = ("pipewire", "audio", "realtime", "jackuser")
"""Of several that have real-time priority; any other comes after them."""

UNLIMITED = ("unlimited", "infinity", "-1")

ENOUGH_PRIORITY = 20
"""A limit from which on it is worth while to join the group that has it."""

IN_CGROUP = (
    "the system refuses it although the limit permits it",
    "a container or cgroup without real-time budget, or RestrictRealtime= in a unit, does that: "
    "start stemd outside of it, or give it that budget",
)

REFUSED_BY_RTKIT = (
    "rtkit refuses it for now: it grants one user only so many programs, threads and requests, and "
    "none outside a session; it is asked again from time to time"
)

OVERRUN = "a thread ran for longer than rtkit permits, and priority was taken back"

NO_SERVER_PRIORITY = (
    "the audio server itself plays without real-time priority",
    "start jackd with -R -P 70; PipeWire gets it from rtkit (sudo apt install rtkit) or its limits",
)


@dataclass(frozen=True)
class Grant:
    """Real-time priority of one role's threads."""

    wanted: int
    """Below the server's; 0 where the server leaves no level for it."""
    granted: int
    """The lowest that the kernel has for any of them; 0: normal scheduling."""
    is_missing: bool
    """Whether it was not granted as wanted."""

    def in_words(self, role: Role) -> str:
        """Name what a role was not granted."""
        figures = f" ({self.wanted} wanted, {self.granted or 'none'} granted)"
        return f"{role}{figures if self.wanted else ''}"


@dataclass(frozen=True)
class Rights:
    """What was wanted, and what the kernel grants now."""

    server: int
    """The priority of the server's thread; 0: normal scheduling."""
    grants: dict[Role, Grant]
    memory_is_locked: bool
    reason: str
    """Why priority is missing; empty if none is."""
    remedy: str
    """What to do about all that is missing; empty if nothing is."""

    @property
    def missing(self) -> list[str]:
        """Name what was not granted: roles, and ``memory``."""
        roles = [role.value for role, grant in self.grants.items() if grant.is_missing]
        return roles + ["memory"] * (not self.memory_is_locked)

    @property
    def missing_in_words(self) -> str:
        """Return what was not granted."""
        roles = [grant.in_words(role) for role, grant in self.grants.items() if grant.is_missing]
        priority = [f"real-time priority for {', '.join(roles)}"] if roles else []
        return ", ".join(priority + ["locked memory"] * (not self.memory_is_locked))

    @property
    def missing_in_short(self) -> str:
        """Name what was not granted, without figures."""
        roles = [role.value for role, grant in self.grants.items() if grant.is_missing]
        priority = [f"real-time priority ({', '.join(roles)})"] if roles else []
        return ", ".join(priority + ["locked memory"] * (not self.memory_is_locked))

    @property
    def found(self) -> str:
        """Return a sentence that says what was granted."""
        if self.missing:
            return f"not granted: {self.missing_in_words} ({self.reasons})"
        return f"real-time priority: {self.granted}; memory is locked"

    @property
    def granted(self) -> str:
        """Name each role with its priority."""
        return ", ".join(f"{role} {grant.granted}" for role, grant in self.grants.items())

    @property
    def reasons(self) -> str:
        """Return why something is missing."""
        return "; ".join(filter(None, (self.reason, self.memory_reason)))

    @property
    def memory_reason(self) -> str:
        """Return why memory is not locked; empty if it is."""
        if self.memory_is_locked:
            return ""
        soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        if may_lock_memory():
            return "the system refuses to lock memory"
        needed = ENOUGH_TO_LOCK // 1024
        return f"RLIMIT_MEMLOCK is {soft // 1024} kB, and at least {needed} kB are needed"


def read_rights(server: int, are_networks_lowered: bool = False) -> Rights:
    """Compare what is wanted below a server's thread with what the kernel has (any thread).

    Parameters
    ----------
    server : int
        The priority of the server's thread.
    are_networks_lowered : bool
        Whether stemd itself keeps the networks at normal scheduling, for they do not keep up.
    """
    wanted = wanted_below(server)
    grants = {role: _grant(wanted.of(role), scheduled(role)) for role in Role}
    if are_networks_lowered:
        networks = grants[Role.NETWORKS]
        grants[Role.NETWORKS] = Grant(networks.wanted, networks.granted, is_missing=False)
    reason = remedy = ""
    if any(grant.is_missing for grant in grants.values()):
        reason, remedy = why_refused(server)
    locked = memory_is_locked()
    if not locked and not remedy:
        remedy = remedy_for_limits(memory=True)
    return Rights(server, grants, locked, reason, remedy)


def _grant(wanted: int, threads: list[tuple[int, int]]) -> Grant:
    """Return what a role was granted; threads of a separation on trial may be a little lower."""
    granted = min((actual for _, actual in threads), default=NORMAL)
    asked = max((asked for asked, _ in threads), default=NORMAL)
    is_refused = any(actual < asked for asked, actual in threads)
    return Grant(wanted, granted, wanted == NORMAL or asked < wanted or is_refused)


def why_refused(server: int) -> tuple[str, str]:
    """Return why threads do not have the priority they want below a server's, and the remedy."""
    wanted = wanted_below(server)
    limit = rtprio_limit()
    if overran_rtkit():
        return OVERRUN, remedy_for_limits()
    # The server's thread that calls stemd runs in this process, so it needs these rights itself.
    needed = max(wanted.engine, LOWEST)
    if max(limit, permitted_by_rtkit()) < needed and not has_capability(CAP_SYS_NICE):
        at_least = "" if wanted.engine else "at least "
        return f"RLIMIT_RTPRIO is {limit}, and {at_least}{needed} is needed", remedy_for_limits()
    if limit < needed and not has_capability(CAP_SYS_NICE):
        return why_rtkit_refuses(server), remedy_for_limits()
    if server == NORMAL:
        return NO_SERVER_PRIORITY
    if wanted.workers == NORMAL:
        return (
            f"the server's own real-time priority of {server} leaves no room below it",
            "give the server a higher one, as by jackd -P 70",
        )
    return IN_CGROUP


def why_rtkit_refuses(server: int) -> str:
    """Return why a thread has no priority where only rtkit could grant it."""
    if server == NORMAL:  # PipeWire's library asks rtkit itself, and jackd does not
        return (
            "the audio server's thread has no real-time priority: RLIMIT_RTPRIO is "
            f"{rtprio_limit()}, and rtkit has not granted it any either"
        )
    return REFUSED_BY_RTKIT


def why_none_permitted() -> tuple[str, str]:
    """Return why this process may have no real-time priority at all, and the remedy."""
    limit = rtprio_limit()
    if limit >= LOWEST or has_capability(CAP_SYS_NICE):
        return IN_CGROUP
    return f"RLIMIT_RTPRIO is {limit}", remedy_for_limits()


def remedy_for_limits(memory: bool = False) -> str:
    """Return how to raise the limits on this system, for this user and this way to start stemd.

    Parameters
    ----------
    memory : bool
        Whether it is the limit of locked memory alone; else that of priority, at least.
    """
    if os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid()):
        return (
            "set LimitRTPRIO=95 and LimitMEMLOCK=infinity in the unit and, for a user's unit, in "
            "user@.service: `stemd service status` has the commands"
        )
    groups = [group for group in groups_with("memlock" if memory else "rtprio") if _exists(group)]
    mine = [group for group in groups if group in _own_groups()]
    if mine:
        return f"log out and in again: you are in the group {mine[0]}, which has the limits"
    if groups:
        return f"sudo usermod -aG {groups[0]} $USER, then log out and in again"
    return (
        "no group has the limits here: printf '@audio - rtprio 95\\n@audio - memlock unlimited\\n' "
        "| sudo tee /etc/security/limits.d/95-stemd.conf; sudo usermod -aG audio $USER; then log "
        "out and in again"
    )


def groups_with(item: str, places: tuple[Path, ...] = LIMITS) -> list[str]:
    """Return the groups to which pam_limits gives real-time priority or all memory, best first.

    Parameters
    ----------
    item : str
        "rtprio" or "memlock", as limits.conf(5) calls them.
    """
    enough = ENOUGH_TO_LOCK // 1024 if item == "memlock" else ENOUGH_PRIORITY
    found = dict.fromkeys(
        domain[1:]
        for domain, kind, what, value in _limits(places)
        if domain.startswith("@") and kind in ("-", "soft") and what == item
        if value in UNLIMITED or (value.isdigit() and int(value) >= enough)
    )
    known = [group for group in PREFERRED_GROUPS if group in found]
    return known + [group for group in found if group not in known]


def _limits(places: tuple[Path, ...]) -> Iterator[tuple[str, str, str, str]]:
    """Yield the lines of limits.conf(5), in the order in which they are read."""
    for place in places:
        for path in sorted(place.glob("*.conf")) if place.is_dir() else [place]:
            with suppress(OSError, UnicodeDecodeError):
                for line in path.read_text().splitlines():
                    words = line.partition("#")[0].split()
                    if len(words) == 4:
                        yield words[0], words[1], words[2], words[3]


def _exists(group: str) -> bool:
    with suppress(KeyError):
        grp.getgrnam(group)
        return True
    return False


def _own_groups() -> set[str]:
    """Return the groups of this user in the system's files: a login may be older."""
    with suppress(KeyError):
        user = pwd.getpwuid(os.getuid())
        numbers = os.getgrouplist(user.pw_name, user.pw_gid)
        return {group.gr_name for group in grp.getgrall() if group.gr_gid in numbers}
    return set()


class Notice:
    """Logs what was granted once it has settled, and again when that changes (one thread).

    It has settled when rtkit has answered for every thread and the server's priority stays.
    """

    def __init__(self) -> None:
        self._judged: tuple[int, int] | None = None
        """The server's priority, and what rtkit permits."""
        self._since = 0.0
        self._logged = ""

    def look(self, server: int, now: float, are_networks_lowered: bool = False) -> None:
        """Log a sentence if there is something new.

        Parameters
        ----------
        server : int
            The priority of the server's thread.
        now : float
            Seconds of a monotonic clock.
        """
        judged = server, permitted_by_rtkit()
        if judged != self._judged or is_rtkit_asked():
            self._judged, self._since = judged, now
            return
        if self._since == float("inf") or now - self._since < SETTLED_S:
            return
        self._since = float("inf")  # once
        rights = read_rights(server, are_networks_lowered)
        if rights.found == self._logged:
            return
        self._logged = rights.found
        if rights.missing:
            log.warning(
                "not granted: %s; under load, audio may drop out (`stemd doctor` has the remedy)",
                rights.missing_in_short,
            )
        else:
            log.info("real-time priority: %s; memory is locked", rights.granted)
