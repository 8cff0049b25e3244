"""Where no server answers, the message says which was tried, what runs instead, and the remedy."""

import os
import pwd
import socket
from contextlib import contextmanager

import pytest

from stemd.daemon import packages
from stemd.daemon.graph import server_obstacles, server_sockets
from stemd.daemon.graph.server_obstacles import find_obstacles, find_strangers, no_server
from stemd.daemon.graph.server_sockets import Listener, listeners

BOTH = {"jack", "pipewire"}


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """A Debian on which nothing runs, until a test says otherwise."""
    for key in ("JACK_DEFAULT_SERVER", "PIPEWIRE_REMOTE", "PIPEWIRE_RUNTIME_DIR"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(packages.platform, "freedesktop_os_release", lambda: {"ID": "debian"})
    running = []
    monkeypatch.setattr(server_obstacles, "listeners", lambda: running)
    return running


@contextmanager
def listening(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield


def explain(*arguments) -> str:
    return str(no_server(*arguments))


def jack(name: str, user: int | None = None) -> Listener:
    return Listener("jack", name, os.getuid() if user is None else user)


@pytest.mark.parametrize("server", ["auto", "jack", "pipewire"])
def test_nothing_runs(server):
    message = explain(server, None, BOTH)
    assert ("JACK server named 'default'" in message) == (server != "pipewire")
    assert ("PipeWire answers" in message) == (server != "jack")
    assert message.endswith(
        "answers: start one, or let stemd start a private one without a sound card "
        "(stemd run --server dummy)"
    )


def test_the_name_that_was_tried_is_told_and_where_it_came_from(monkeypatch):
    assert "no JACK server named 'studio' answers" in explain("jack", "studio", BOTH)
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "stage")
    message = explain("jack", None, BOTH)
    assert "no JACK server named 'stage' (JACK_DEFAULT_SERVER) answers" in message
    assert "named 'studio' answers" in explain("jack", "studio", BOTH)
    monkeypatch.setenv("PIPEWIRE_REMOTE", "pipewire-7")
    message = explain("pipewire", None, BOTH)
    assert "no PipeWire named 'pipewire-7' (PIPEWIRE_REMOTE) answers" in message


def test_servers_of_other_names_are_told_with_how_to_choose_one(machine):
    machine += [jack("stage"), jack("studio")]
    message = explain("jack", None, BOTH)
    assert "named 'default' answers: of other names there are 'stage', 'studio': " in message
    assert message.endswith("stemd run --server-name stage")


def test_a_server_that_refuses_is_told(machine):
    machine += [jack("studio")]
    assert "JACK server 'studio' runs, and refuses stemd: restart" in explain(
        "auto", "studio", BOTH
    )


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ({"ID": "debian"}, "sudo apt install pipewire-jack"),
        ({"ID": "raspbian", "ID_LIKE": "debian"}, "sudo apt install pipewire-jack"),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "sudo apt install pipewire-jack"),
        ({"ID": "fedora"}, "sudo dnf install pipewire-jack-audio-connection-kit"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "sudo dnf install pipewire-jack-aud"),
        ({"ID": "manjaro", "ID_LIKE": "arch"}, "sudo pacman -S pipewire-jack"),
        ({"ID": "opensuse-tumbleweed", "ID_LIKE": "opensuse suse"}, "sudo zypper install pipewire"),
        ({"ID": "nixos"}, "install pipewire-jack, or what your system calls it"),
    ],
)
@pytest.mark.parametrize("server", ["auto", "pipewire"])
@pytest.mark.parametrize("libraries", [set(), {"jack"}])
def test_pipewire_without_its_library(server, libraries, release, command, monkeypatch, tmp_path):
    monkeypatch.setattr(packages.platform, "freedesktop_os_release", lambda: release)
    with listening(tmp_path / "pipewire-0"):
        message = explain(server, None, libraries)
        assert "PipeWire runs, but its client library (libjack.so.0)" in message
        assert f"is not installed: {command}" in message
        assert "start one" not in message


def test_where_pipewire_runs_its_remedy_comes_first(tmp_path):
    with listening(tmp_path / "pipewire-0"):
        message = explain("auto", None, {"jack"})
    assert message.startswith("PipeWire runs, but its client library")
    assert message.endswith("; no JACK server named 'default' answers either")


def test_pipewire_without_its_library_where_the_socket_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PIPEWIRE_REMOTE", str(tmp_path / "sound"))
    with listening(tmp_path / "sound"):
        assert "PipeWire runs, but" in explain("auto", None, {"jack"})


@pytest.mark.parametrize("server", ["auto", "jack"])
@pytest.mark.parametrize("libraries", [set(), {"pipewire"}])
def test_jackd_without_its_library(server, libraries, machine):
    machine += [jack("default")]
    message = explain(server, None, libraries)
    assert "JACK runs, but its client library (libjack.so.0)" in message
    assert "is not installed: sudo apt install libjack-jackd2-0" in message


def test_no_library_at_all():
    (found,) = find_obstacles("auto", None, set())
    assert found.found.startswith("the client library of JACK or PipeWire (libjack.so.0)")
    assert found.remedy == "sudo apt install libjack-jackd2-0 or sudo apt install pipewire-jack"
    (only,) = find_obstacles("dummy", None, {"pipewire"})
    assert only.remedy == "sudo apt install libjack-jackd2-0"


def test_a_server_of_the_other_kind_is_told(machine, tmp_path):
    with listening(tmp_path / "pipewire-0"):
        assert "PipeWire runs: to play there, stemd run --server pipewire" in explain(
            "jack", None, BOTH
        )
    machine += [jack("default")]
    assert "JACK runs: to play there, stemd run --server jack" in explain("pipewire", None, BOTH)


@pytest.mark.parametrize("kind", ["jack", "pipewire"])
def test_servers_of_other_users_are_told(kind, machine):
    other = next(each for each in pwd.getpwall() if each.pw_uid not in (0, os.getuid()))
    machine += [Listener(kind, "default", other.pw_uid), Listener(kind, "default", 4_000_000)]
    (found,) = find_strangers("auto")
    assert found.found in explain("auto", None, BOTH)
    assert f"runs for the user {other.pw_name}, but stemd was started by " in found.found
    assert found.remedy == "start stemd as that user, without sudo"


def test_listeners_are_found_by_their_sockets(tmp_path, monkeypatch):
    monkeypatch.setattr(server_sockets, "_listening_paths", lambda: [str(p) for p in paths])
    jack1 = tmp_path / "jack-1001" / "old" / "jack_0"
    paths = [
        tmp_path / "jack_my_studio_1000_0",
        tmp_path / "jack_some-client_1000_0",
        "/run/user/1002/pipewire-0",
        "/run/user/1002/pipewire-0-manager",
        "/run/user/1002/bus",
        jack1,
    ]
    (tmp_path / "jack_sem.1000_my_studio_freewheel").touch()
    (tmp_path / "jack_sem.1000_my_studio_some-client").touch()
    assert listeners() == [
        Listener("jack", "my_studio", 1000),
        Listener("jack", "old", 1001),
        Listener("pipewire", "pipewire-0", 1002),
    ]


def test_a_missing_runtime_folder_is_looked_for_where_systemd_makes_it(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(server_sockets, "USERS_FOLDER", tmp_path)
    server_sockets.adopt_runtime_folder()
    assert "XDG_RUNTIME_DIR" not in os.environ
    (tmp_path / str(os.getuid())).mkdir()
    server_sockets.adopt_runtime_folder()
    assert os.environ["XDG_RUNTIME_DIR"] == str(tmp_path / str(os.getuid()))


def test_a_private_server_is_found():
    from stemd.daemon.graph.private_server import private_server

    with private_server(realtime=False) as name:
        assert jack(name) in listeners()
    assert jack(name) not in listeners()
