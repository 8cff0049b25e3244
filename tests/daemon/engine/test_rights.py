"""What was wanted and not granted is said in one sentence, with what helps on this system."""

import logging
import resource
from pathlib import Path

import pytest

from stemd.daemon.engine import rights as module
from stemd.daemon.engine.rights import (
    SETTLED_S,
    Notice,
    groups_with,
    read_rights,
    remedy_for_limits,
)
from stemd.daemon.engine.scheduling import ENOUGH_TO_LOCK, NORMAL, Role, wanted_below

DEBIAN_13 = "# pipewire\n@pipewire - rtprio 95\n@pipewire - nice -19\n@pipewire - memlock 4194304\n"
JACKD2 = "@audio   -  rtprio     95\n@audio   -  memlock    unlimited\n#@audio   -  nice -19\n"


@pytest.fixture
def system(monkeypatch):
    """A function that makes what the kernel has, and an ordinary user without rights."""

    def make(server=5, granted=None, rtprio=0, memlock=8 << 20, locked=False, capable=False):
        wanted = wanted_below(server)

        def scheduled(role):
            asked = wanted.of(role)
            return [(asked, asked if granted is None else granted.get(role, NORMAL))]

        limits = {resource.RLIMIT_RTPRIO: rtprio, resource.RLIMIT_MEMLOCK: memlock}
        monkeypatch.setattr(module, "scheduled", scheduled)
        monkeypatch.setattr(module, "memory_is_locked", lambda: locked)
        monkeypatch.setattr(module, "has_capability", lambda number: capable)
        monkeypatch.setattr(module, "may_lock_memory", lambda: capable or memlock >= ENOUGH_TO_LOCK)
        monkeypatch.setattr(resource, "getrlimit", lambda which: (limits[which],) * 2)
        return server

    return make


@pytest.fixture
def limits(tmp_path, monkeypatch):
    """A function that fills limits.d; every group that it names exists, and the user is in some."""

    def make(*texts: str, mine=()):
        for number, text in enumerate(texts):
            (tmp_path / f"{number}.conf").write_text(text)
        monkeypatch.setattr(module, "LIMITS", (tmp_path,))
        monkeypatch.setattr(groups_with, "__defaults__", ((tmp_path,),))
        monkeypatch.setattr(module, "_exists", lambda group: True)
        monkeypatch.setattr(module, "_own_groups", lambda: set(mine))
        monkeypatch.delenv("SYSTEMD_EXEC_PID", raising=False)
        return tmp_path

    return make


def test_all_that_is_granted_is_said_too(system):
    rights = read_rights(system(locked=True))
    assert rights.missing == []
    assert rights.found == "real-time priority: engine 3, steering 2, networks 1; memory is locked"
    assert (rights.reason, rights.remedy) == ("", "")


def test_without_limits_the_reason_is_the_limit_and_the_remedy_a_command(system, limits):
    limits(DEBIAN_13)
    rights = read_rights(system(server=20, granted={}))
    assert rights.missing == ["engine", "steering", "networks", "memory"]
    assert rights.found.startswith(
        "not granted: real-time priority for engine (15 wanted, none granted), "
        "steering (13 wanted, none granted), networks (10 wanted, none granted), locked memory ("
    )
    assert "RLIMIT_RTPRIO is 0, and 15 is needed" in rights.found
    assert "RLIMIT_MEMLOCK is 8192 kB" in rights.found
    assert rights.remedy == "sudo usermod -aG pipewire $USER, then log out and in again"


def test_limit_that_is_too_low_is_told_though_some_was_granted(system, limits):
    limits(DEBIAN_13)
    granted = {Role.ENGINE: 10, Role.STEERING: 8, Role.NETWORKS: 5}
    rights = read_rights(system(server=70, granted=granted, rtprio=10, locked=True))
    assert rights.missing == ["engine", "steering", "networks"]
    assert "engine (65 wanted, 10 granted)" in rights.found
    assert "RLIMIT_RTPRIO is 10, and 65 is needed" in rights.reason


def test_refusal_in_spite_of_the_limit_names_container_and_unit(system):
    for limit in (95, resource.RLIM_INFINITY):
        rights = read_rights(system(granted={}, rtprio=limit))
        assert "although the limit permits it" in rights.reason
        assert "cgroup" in rights.remedy
    assert "although" in read_rights(system(granted={}, capable=True)).reason


def test_where_rtkit_refuses_what_it_permits_it_is_the_reason(system, limits, monkeypatch):
    limits(DEBIAN_13)
    monkeypatch.setattr(module, "permitted_by_rtkit", lambda: 20)
    rights = read_rights(system(server=20, granted={}))
    assert rights.reason.startswith("rtkit refuses it for now: it grants one user only so many")
    assert "usermod -aG pipewire" in rights.remedy


def test_where_rtkit_has_refused_the_servers_thread_it_is_not_told_to_be_installed(
    system, limits, monkeypatch
):
    """PipeWire's library requests that thread's priority, once."""
    limits(DEBIAN_13)
    monkeypatch.setattr(module, "permitted_by_rtkit", lambda: 20)
    rights = read_rights(system(server=NORMAL))
    assert "RLIMIT_RTPRIO is 0, and rtkit has not granted it any either" in rights.reason
    assert "server itself" not in rights.reason
    assert "usermod -aG pipewire" in rights.remedy


def test_server_without_priority_is_the_reason_where_the_limit_permits_it(system):
    rights = read_rights(system(server=NORMAL, rtprio=95))
    assert "server itself plays without real-time priority" in rights.found
    assert "-R -P 70" in rights.remedy
    assert rights.found.startswith("not granted: real-time priority for engine, steering, networks")
    assert len(rights.missing) == 4


def test_without_rights_the_servers_thread_in_this_process_has_none_either(system, limits):
    limits(DEBIAN_13)
    rights = read_rights(system(server=NORMAL))
    assert "RLIMIT_RTPRIO is 0, and at least 1 is needed" in rights.found
    assert "usermod -aG pipewire" in rights.remedy


def test_server_that_leaves_no_room_is_told_to_have_more(system):
    rights = read_rights(system(server=2, locked=True, rtprio=95))
    assert rights.missing == ["steering", "networks"]
    assert "leaves no room below it" in rights.reason
    assert "jackd -P 70" in rights.remedy


def test_networks_that_stemd_itself_lowers_are_no_refusal(system):
    granted = {Role.ENGINE: 3, Role.STEERING: 2}
    server = system(granted=granted, locked=True, rtprio=95)
    assert read_rights(server).missing
    assert not read_rights(server, are_networks_lowered=True).missing


@pytest.mark.parametrize(
    ("texts", "mine", "expected"),
    [
        ((DEBIAN_13,), (), "usermod -aG pipewire"),
        ((JACKD2,), (), "usermod -aG audio"),
        ((JACKD2, DEBIAN_13), (), "usermod -aG pipewire"),
        ((JACKD2, DEBIAN_13), ("audio",), "log out and in again: you are in the group audio"),
        (("@students hard nproc 20\n@music - rtprio 80\n",), (), "usermod -aG music"),
        (("# @audio - rtprio 95\n@low - rtprio 1\n@hard hard rtprio 95\n",), (), "limits.d"),
        ((), (), "sudo tee /etc/security/limits.d"),
    ],
)
def test_remedy_names_the_group_that_has_the_limits_here(limits, texts, mine, expected):
    limits(*texts, mine=mine)
    assert expected in remedy_for_limits()


def test_what_is_disabled_or_cannot_be_read_counts_for_nothing(limits):
    folder = limits()
    (folder / "audio.conf.disabled").write_text(JACKD2)
    (folder / "damaged.conf").write_bytes(b"\xff\xfe@audio - rtprio 95")
    assert groups_with("rtprio", (folder, Path("/nowhere"))) == []


def test_in_a_unit_it_is_the_unit_that_sets_limits(monkeypatch):
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(module.os.getpid()))
    assert "LimitRTPRIO=95" in remedy_for_limits()


def test_log_says_it_once_it_has_settled_and_again_when_it_changes(system, limits, caplog):
    caplog.set_level(logging.INFO)
    limits(DEBIAN_13)
    notice = Notice()
    notice.look(system(server=NORMAL, granted={}), 0.0)
    notice.look(NORMAL, SETTLED_S / 2)
    server = system(server=20, granted={})  # rtkit has granted it to the server meanwhile
    for now in (0.3, 0.3 + SETTLED_S / 2, 0.3 + SETTLED_S, 99.0):
        notice.look(server, now)
    (line,) = caplog.records
    assert line.levelname == "WARNING"
    assert line.message == (
        "not granted: real-time priority (engine, steering, networks), locked memory; "
        "under load, audio may drop out (`stemd doctor` has the remedy)"
    )
    caplog.clear()
    for now in (100.0, 101.0):
        notice.look(system(server=70, locked=True), now)
    (line,) = caplog.records
    assert line.levelname == "INFO"


def test_nothing_is_judged_before_rtkit_has_answered(system, limits, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    limits(DEBIAN_13)
    monkeypatch.setattr(module, "is_rtkit_asked", lambda: True)
    notice, server = Notice(), system(server=20, granted={})
    for now in (0.0, SETTLED_S, 5.0):
        notice.look(server, now)
    assert caplog.records == []
    monkeypatch.setattr(module, "is_rtkit_asked", lambda: False)
    for now in (5.0 + SETTLED_S / 2, 5.0 + SETTLED_S, 9.0):
        notice.look(server, now)
    assert len(caplog.records) == 1


def test_what_rtkit_refuses_to_later_threads_is_logged_too(system, limits, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    limits(DEBIAN_13)
    notice, server = Notice(), system(server=20, locked=True)
    for now in (0.0, SETTLED_S):
        notice.look(server, now)
    monkeypatch.setattr(module, "is_rtkit_asked", lambda: True)  # others take over
    notice.look(system(server=20, granted={}), 60.0)
    monkeypatch.setattr(module, "is_rtkit_asked", lambda: False)
    notice.look(server, 60.0 + SETTLED_S)
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]
