"""Two daemons on one machine: each is steered at the name that its audio server gave it."""

from pathlib import Path

import pytest

from fake_daemon import FakeDaemon
from processes import running, stop
from stemd.daemon.control.client import ControlClient
from stemd.daemon.control.events import ClientNamed
from stemd.daemon.control.interfaces.control_server import ControlServer
from stemd.daemon.control.interfaces.owned_socket import OwnedSocket
from stemd.daemon.control.socket_paths import listens
from stemd.daemon.errors import StemdError
from stemd.daemon.graph.private_server import private_server
from waiting import wait_for, wait_until


@pytest.fixture(scope="module")
def server():
    with private_server(realtime=False) as name:
        yield name


def client_at(path: Path) -> str:
    with ControlClient(path) as client:
        return client.ask("status")["server"]["client"]


def test_each_socket_has_the_name_that_the_server_gave(server, environment):
    folder = Path(environment["XDG_RUNTIME_DIR"]) / "stemd"
    options = ("--server", "jack", "--server-name", server, "--stems", "2")
    with (
        running(environment, *options) as (first, _),
        running(environment, *options) as (_, log),
    ):
        said = log.find("another stemd runs already, and is steered by --socket ")
        assert str(folder / "stemd.socket") in said
        second = folder / "stemd-01.socket"
        wait_for(second)
        assert client_at(folder / "stemd.socket") == "stemd"
        assert client_at(second) == "stemd-01"
        assert {path.name for path in folder.glob("*.socket")} == {"stemd.socket", second.name}
        assert stop(first) == 0
        assert client_at(second) == "stemd-01"
    wait_until(lambda: not list(folder.glob("*.socket")))


def test_two_servers_give_one_name_and_both_daemons_can_be_steered(server, environment):
    folder = Path(environment["XDG_RUNTIME_DIR"]) / "stemd"
    with private_server(realtime=False) as other:
        options = ("--server", "jack", "--stems", "2", "--server-name")
        with running(environment, *options, server), running(environment, *options, other):
            sockets = list(folder.glob("*.socket"))
            assert [client_at(path) for path in sockets] == ["stemd", "stemd"]


def test_a_socket_moves_with_its_connections(tmp_path):
    owned = OwnedSocket(tmp_path / "one")
    owned.move(tmp_path / "two")
    assert not (tmp_path / "one").exists()
    assert listens(tmp_path / "two")
    OwnedSocket(tmp_path / "one").close()
    owned.close()
    assert not (tmp_path / "two").exists()


def test_a_socket_stays_where_the_other_place_is_taken(tmp_path):
    other, owned = OwnedSocket(tmp_path / "two"), OwnedSocket(tmp_path / "one")
    with pytest.raises(StemdError, match="another stemd listens there"):
        owned.move(tmp_path / "two")
    assert listens(tmp_path / "one")
    assert listens(tmp_path / "two")
    other.close()
    owned.move(tmp_path / "two")
    assert listens(tmp_path / "two")
    owned.close()


def test_a_socket_replaces_no_file_and_moves_no_others(tmp_path):
    owned = OwnedSocket(tmp_path / "one")
    (tmp_path / "two").write_text("mine")
    with pytest.raises(StemdError, match="File exists"):
        owned.move(tmp_path / "two")
    assert (tmp_path / "two").read_text() == "mine"
    (tmp_path / "one").unlink()
    (tmp_path / "one").write_text("another's")
    with pytest.raises(StemdError, match=r"one belongs to another program now"):
        owned.move(tmp_path / "three")
    owned.close()
    assert (tmp_path / "one").read_text() == "another's"


def test_a_name_that_no_file_can_have_leaves_the_socket_where_it_is(tmp_path, caplog):
    daemon = FakeDaemon()
    control = ControlServer(tmp_path / "s", daemon, follows_name=True)
    control.start()
    for name in ("a/b", "x" * 300, "a\0b"):
        daemon.bulletin.publish(ClientNamed(name))
    assert listens(tmp_path / "s")
    assert caplog.text.count(f"steer it by --socket {tmp_path / 's'}, for") == 3
    control.close()
