"""`stemd web`: the address of the page, and its QR code."""

import sys

import pytest
from click.testing import CliRunner

from fake_daemon import FakeDaemon
from stemd.daemon.cli.commands import stemd as cli
from stemd.daemon.control.interfaces.control_server import ControlServer

ADDRESS = "http://192.168.1.20:9463/#a-b_c"


@pytest.fixture
def daemon():
    return FakeDaemon()


@pytest.fixture
def ask(daemon, tmp_path):
    server = ControlServer(tmp_path / "s", daemon)
    server.start()
    yield lambda: CliRunner().invoke(cli, ["web", "--socket", str(tmp_path / "s")])
    server.close()


def test_it_prints_the_address_and_a_code(daemon, ask):
    daemon.page_address = lambda: ADDRESS
    ended = ask()
    assert ended.exit_code == 0
    address, *code = ended.stdout.splitlines()
    assert address == ADDRESS
    assert len(code) > 10
    assert all({*line} <= {*"█▀▄ \xa0"} for line in code if "\x1b" not in line)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_address_that_no_phone_reaches_has_no_code(daemon, ask, host):
    daemon.page_address = lambda: f"http://{host}:9463/"
    ended = ask()
    assert ended.stdout == f"http://{host}:9463/\n"
    assert "set web.host to 0.0.0.0" in ended.stderr


def test_without_segno_the_address_is_there_all_the_same(daemon, ask, monkeypatch):
    monkeypatch.setitem(sys.modules, "segno", None)
    daemon.page_address = lambda: ADDRESS
    ended = ask()
    assert ended.stdout == f"{ADDRESS}\n"
    assert "the QR code needs segno" in ended.stderr


def test_without_a_page_it_says_what_to_do(ask):
    ended = ask()
    assert "there is no page: set web.port, and start again" in str(ended.exception)
