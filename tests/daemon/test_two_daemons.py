"""Two daemons on one machine: each is steered at the name that its audio server gave it."""

from pathlib import Path

import pytest

from processes import running
from stemd.daemon.control.client import ControlClient
from stemd.daemon.control.owned_socket import OwnedSocket
from stemd.daemon.control.places import listens
from stemd.daemon.errors import StemdError
from stemd.daemon.private_server import private_server
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
    with running(environment, *options) as (first, _), running(environment, *options):
        second = folder / "stemd-01.socket"
        wait_for(second)
        assert client_at(folder / "stemd.socket") == "stemd"
        assert client_at(second) == "stemd-01"
        assert {path.name for path in folder.glob("*.socket")} == {"stemd.socket", second.name}
        first.terminate()
        first.wait(timeout=10)
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
