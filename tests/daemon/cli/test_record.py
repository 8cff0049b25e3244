"""`stemd record`: begin and end a recording, as a user does."""

import json

import pytest
from click.testing import CliRunner

from fake_daemon import FakeDaemon
from stemd.daemon.cli.commands import stemd as cli
from stemd.daemon.control.interfaces.control_server import ControlServer
from stemd.daemon.control.replies import Recording
from stemd.daemon.record_wish import RecordWish

OFF = Recording(False, False, False, None, 0.0, 0, None)


@pytest.fixture
def daemon():
    return FakeDaemon()


@pytest.fixture
def record(daemon, tmp_path):
    server = ControlServer(tmp_path / "s", daemon)
    server.start()
    yield lambda *words: CliRunner().invoke(
        cli, ["record", "--socket", str(tmp_path / "s"), *words]
    )
    server.close()


def test_it_begins_with_what_is_wished_and_ends(daemon, record, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = record("takes", "--format", "flac", "--before-faders", "--no-align")
    assert ended.stdout == f"recording: on, 1.5 s in {tmp_path}/takes\n"
    wish = RecordWish(f"{tmp_path}/takes", "flac", before_faders=True, align=False)
    assert daemon.record_wish == wish
    assert json.loads(record("--stop", "--json").stdout)["on"] is False
    assert not daemon.is_recording


def test_without_wishes_it_is_as_configured(daemon, record):
    record()
    assert daemon.is_recording
    assert daemon.record_wish == RecordWish()


def test_by_itself(daemon, record):
    assert record("--auto").stdout == "recording: waits for sound\n"
    assert daemon.record_wish == RecordWish(auto=True)


def test_a_controller_is_learned(daemon, record):
    assert record("--learn", "--toggles").stdout == "controller 21 on channel 1 is record\n"
    assert (daemon.wish.does, daemon.wish.toggles) == ("record", True)
    assert not daemon.is_recording


@pytest.mark.parametrize("words", [["--learn", "--stop"], ["--learn", "x"], ["--toggles"]])
def test_what_only_binds_takes_no_wishes(daemon, record, words):
    assert record(*words).exit_code == 2
    assert not daemon.is_recording


@pytest.mark.parametrize("words", [["x"], ["--auto"], ["--no-align"], ["--format", "wav"]])
def test_what_only_ends_takes_no_wishes(daemon, record, words):
    ended = record("--stop", *words)
    assert ended.exit_code == 2
    assert "--stop excludes DIR and the other options" in ended.stderr
    assert not daemon.is_recording


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "off"),
        ({"trouble": "the disk is full"}, "off; the disk is full"),
        ({"on": True, "auto": True, "folder": "/a"}, "waits for sound"),
        ({"folder": "/a", "seconds": 2.04}, "ended, 2.0 s in /a"),
        (
            {"on": True, "taking": True, "folder": "/a", "seconds": 2, "lost_frames": 1},
            "on, 2.0 s in /a, 1 frame lost",
        ),
    ],
)
def test_it_is_told_in_words(changes, words):
    assert Recording(**{**vars(OFF), **changes}).in_words() == words
