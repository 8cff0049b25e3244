"""`stemd template`: files for programs that speak OSC."""

import errno
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fake_daemon import FakeDaemon
from stemd.daemon.cli.commands import stemd as cli
from stemd.daemon.control.interfaces.control_server import ControlServer
from stemd.daemon.control.surfaces import open_stage_control, touchosc
from stemd.daemon.errors import StemdError

TWO, FOUR = ["vocals", "accompaniment"], ["vocals", "drums", "bass", "other"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(cli, ["template", *words])


def test_it_writes_a_session_for_open_stage_control(run):
    ended = run("open-stage-control", "--stems", "4")
    assert ended.stdout == "stemd.json: vocals, drums, bass, other\n"
    assert Path("stemd.json").read_bytes() == open_stage_control.layout(FOUR)
    assert json.loads(Path("stemd.json").read_text())["type"] == "session"


def test_it_writes_a_layout_for_touchosc(run):
    ended = run("touchosc", "faders.tosc", "--stems", "2")
    assert ended.stdout == "faders.tosc: vocals, accompaniment\n"
    assert Path("faders.tosc").read_bytes() == touchosc.layout(TWO)


def test_it_takes_the_stems_of_the_running_stemd(run, tmp_path):
    daemon = FakeDaemon()
    daemon.figures = {"stems": FOUR}
    server = ControlServer(tmp_path / "s", daemon)
    server.start()
    assert run("touchosc", "--socket", str(tmp_path / "s")).exit_code == 0
    server.close()
    assert Path("stemd.tosc").read_bytes() == touchosc.layout(FOUR)


def test_without_a_stemd_it_needs_their_number(run, tmp_path):
    ended = run("touchosc", "--socket", str(tmp_path / "s"))
    assert isinstance(ended.exception, StemdError)
    assert "no stemd answers" in str(ended.exception)
    assert not Path("stemd.tosc").exists()


def test_a_file_that_is_there_is_replaced_on_demand_only(run):
    Path("stemd.tosc").write_text("mine")
    ended = run("touchosc", "--stems", "2")
    assert str(ended.exception) == "stemd.tosc is there already: give another name, or --force"
    assert Path("stemd.tosc").read_text() == "mine"
    assert run("touchosc", "--stems", "2", "--force").exit_code == 0
    assert Path("stemd.tosc").read_bytes() == touchosc.layout(TWO)


def test_a_full_disk_is_named_with_the_file_and_leaves_the_old_file(run, monkeypatch):
    Path("stemd.tosc").write_text("mine")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    ended = run("touchosc", "--stems", "2", "--force")
    assert isinstance(ended.exception, OSError)
    assert ended.exception.filename == "stemd.tosc"
    assert [(path.name, path.read_text()) for path in Path().iterdir()] == [("stemd.tosc", "mine")]
