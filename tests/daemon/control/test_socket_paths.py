"""Where the control socket is made, and where it is looked for."""

import socket
from contextlib import ExitStack

import pytest

from stemd.daemon.control import socket_paths
from stemd.daemon.control.socket_paths import find_socket, socket_path
from stemd.daemon.errors import StemdError


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(socket_paths, "SYSTEM_FOLDER", tmp_path / "machine")
    (tmp_path / "stemd").mkdir()
    (tmp_path / "machine").mkdir()


@pytest.fixture
def listening(tmp_path):
    """A function that lets a daemon listen in a folder."""
    with ExitStack() as stack:

        def listening(folder: str) -> socket.socket:
            made = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            made.bind(str(tmp_path / folder / "stemd.socket"))
            made.listen(1)
            return made

        yield listening


def test_it_is_in_the_folder_that_systemd_made(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/stemd")
    assert str(socket_path("auto", "karaoke")) == "/run/stemd/karaoke.socket"


def test_a_folder_for_a_unit_is_for_its_daemon_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/another")
    assert find_socket("auto", "stemd") == tmp_path / "stemd" / "stemd.socket"


def test_the_machines_is_found_where_the_user_has_none(tmp_path, listening):
    listening("machine")
    assert find_socket("auto", "stemd") == tmp_path / "machine" / "stemd.socket"
    assert find_socket("auto", "another") == tmp_path / "stemd" / "another.socket"


def test_the_users_own_comes_first_while_a_daemon_listens(tmp_path, listening):
    listening("machine")
    own = listening("stemd")
    assert find_socket("auto", "stemd") == tmp_path / "stemd" / "stemd.socket"
    own.close()
    assert find_socket("auto", "stemd") == tmp_path / "machine" / "stemd.socket"


def test_one_that_hangs_listens_all_the_same(tmp_path, listening):
    listening("machine")
    listening("stemd")
    own = tmp_path / "stemd" / "stemd.socket"
    with ExitStack() as stack:
        for _ in range(2):  # as many as may wait
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            waiting.connect(str(own))
        assert find_socket("auto", "stemd") == own


def test_a_home_that_is_not_there_is_told():
    with pytest.raises(StemdError, match="no home folder for '~nobody-here/s'; write an abs"):
        socket_path("~nobody-here/s", "stemd")


def test_what_is_said_is_what_counts(listening):
    listening("machine")
    assert find_socket("off", "stemd") is None
    assert find_socket("/elsewhere/s", "stemd") == socket_paths.Path("/elsewhere/s")


@pytest.mark.parametrize("user", [0, 1000])
def test_with_sudo_the_daemon_of_the_user_who_calls_it_is_found(
    user, tmp_path, listening, monkeypatch
):
    monkeypatch.setattr(socket_paths, "USERS_FOLDER", tmp_path / "users")
    monkeypatch.setattr(socket_paths.os, "getuid", lambda: user)
    monkeypatch.setattr(socket_paths, "problem_with", lambda _: "")
    folder = tmp_path / "users" / "1234" / "stemd"
    folder.mkdir(parents=True)
    listening("users/1234/stemd")
    own = tmp_path / "stemd" / "stemd.socket"
    assert find_socket("auto", "stemd") == own
    monkeypatch.setenv("SUDO_UID", "../1234")
    assert find_socket("auto", "stemd") == own
    monkeypatch.setenv("SUDO_UID", "1234")
    found = find_socket("auto", "stemd")
    assert found == (folder / "stemd.socket" if user == 0 else own), "for root only"
    listening("stemd")
    assert find_socket("auto", "stemd") == own, "root's own is first"


def test_the_only_one_that_listens_is_found_by_another_name_too(tmp_path, listening):
    listening("stemd")
    assert find_socket("auto", "box") == tmp_path / "stemd" / "stemd.socket"
