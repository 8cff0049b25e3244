"""Announcing the page by Avahi."""

import logging
import socket

import pytest

from fake_daemon import FakeDaemon
from stemd.daemon.config_file import load_config
from stemd.daemon.control.interfaces import avahi
from stemd.daemon.control.interfaces.avahi import Announcement
from stemd.daemon.control.interfaces.interface import Target
from stemd.daemon.control.pace import Pace
from waiting import wait_until

PROGRAM = """#!/bin/sh
trap 'rm {folder}/told; exit' TERM
printf '%s\\n' "$@" >{folder}/part && mv {folder}/part {folder}/told
while :; do sleep 0.05; done
"""


@pytest.fixture
def told(tmp_path, monkeypatch):
    """What an announcing program was told, for as long as it runs."""
    program = tmp_path / avahi.PROGRAM
    program.write_text(PROGRAM.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "told"


def page(*wishes):
    config = load_config(None, ["web.port=59463", *wishes])
    return config.web.open(Target(FakeDaemon(), Pace(), "stemd"))


def test_the_page_is_announced_as_long_as_it_is_open(told):
    server = page("web.announce=true", "web.password=correct horse")
    assert not told.exists()
    server.start()
    wait_until(told.exists)
    name = f"stemd on {socket.gethostname()}"
    assert told.read_text().splitlines() == ["--no-fail", name, "_http._tcp", "59463", "path=/"]
    server.close()
    assert not told.exists()


def test_it_is_announced_only_where_that_is_wanted(told, monkeypatch):
    monkeypatch.setattr(Announcement, "start", lambda _: pytest.fail("announced"))
    server = page()
    server.start()
    server.close()
    assert not told.exists()


def test_without_avahi_the_remedy_is_logged(monkeypatch, caplog):
    monkeypatch.setattr(avahi.shutil, "which", lambda _: None)
    announcement = Announcement(9463)
    with caplog.at_level(logging.WARNING):
        announcement.start()
    announcement.close()
    assert "avahi-publish-service is not installed: " in caplog.text
