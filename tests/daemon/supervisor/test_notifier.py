"""What systemd is told, by the protocol of sd_notify(3)."""

import errno
import os
import socket
import threading

import pytest

from stemd.daemon.supervisor.notifier import Notifier
from waiting import PATIENCE_S, wait_until


@pytest.fixture(params=["a path", "an abstract name"])
def manager(request, tmp_path):
    """The service manager's end: where it listens, and what it hears."""
    address = (
        str(tmp_path / "notify") if request.param == "a path" else f"@stemd-test-{os.getpid()}"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address.replace("@", "\0", 1))
        listening.settimeout(PATIENCE_S)
        yield address, lambda: listening.recv(4096).decode()


def test_each_notice_is_a_datagram(manager):
    address, heard = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})
    for say, told in (
        (notifier.ready, "READY=1"),
        (notifier.feed_watchdog, "WATCHDOG=1"),
        (notifier.stopping, "STOPPING=1"),
    ):
        say()
        assert heard() == told


def test_a_status_is_told_when_it_changes(manager):
    address, heard = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})
    for text in ("waiting", "waiting", "playing"):
        notifier.status(text)
    assert [heard(), heard()] == ["STATUS=waiting", "STATUS=playing"]


def test_without_a_manager_nothing_happens():
    notifier = Notifier({})
    notifier.ready()
    notifier.status("playing")


def test_a_manager_that_is_gone_does_no_harm(tmp_path):
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()


def test_without_a_descriptor_to_spare_nothing_happens(monkeypatch):
    def none(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("stemd.daemon.supervisor.notifier.socket.socket", none)
    Notifier({"NOTIFY_SOCKET": "/run/notify"}).feed_watchdog()


def test_a_manager_that_is_busy_does_not_miss_that_it_is_ready(tmp_path):
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(PATIENCE_S)
        notifier = Notifier({"NOTIFY_SOCKET": address})
        for number in range(10_000):
            notifier.status(str(number))  # does not wait, though there is no room any more
        ready = threading.Thread(target=notifier.ready)
        ready.start()
        wait_until(lambda: manager.recv(100) == b"READY=1")
        ready.join()
