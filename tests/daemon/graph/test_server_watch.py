"""Whether a server lives is seen at its own socket, and nothing that it does keeps us waiting."""

import socket
from contextlib import ExitStack, contextmanager

import pytest

from stemd.daemon.graph.server_watch import ServerWatch, open_sockets
from waiting import PATIENCE_S

SERVERS = [
    ("pipewire", "pipewire-0"),
    ("pipewire", "pipewire-0-manager"),
    ("jack", "jack_default_1000_0"),
    ("jack", "jack_0"),
]


@contextmanager
def listening(path):
    """What a server listens on, with room for few."""
    path.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(4)
        yield listener


@pytest.fixture
def listener(tmp_path):
    with listening(tmp_path / "pipewire-0") as it:
        yield it


@contextmanager
def joined(*listeners: socket.socket, kind: str = "pipewire", name: str | None = None):
    """A client library that has connected to each; yields the watch and the servers' ends."""
    with ExitStack() as stack:
        before, accepted = open_sockets(), []
        for each in listeners:
            library = stack.enter_context(socket.socket(socket.AF_UNIX))
            library.connect(each.getsockname())
            accepted.append(stack.enter_context(each.accept()[0]))
        watch = ServerWatch(before, kind, name)
        stack.callback(watch.close)
        yield watch, accepted


@pytest.mark.parametrize(("kind", "name"), SERVERS)
def test_it_notices_the_servers_end(kind, name, tmp_path):
    with listening(tmp_path / name) as listener, joined(listener, kind=kind) as (watch, ends):
        assert not watch.has_server_ended()
        ends[0].close()
        assert watch.has_server_ended()


@pytest.mark.parametrize(("kind", "name"), SERVERS)
@pytest.mark.parametrize("bystander", ["bus", "system_bus_socket", "at-spi/bus_0", "native"])
def test_a_bystander_that_accepts_and_closes_changes_nothing(kind, name, bystander, tmp_path):
    with (
        listening(tmp_path / name) as server,
        listening(tmp_path / bystander) as other,
        joined(server, other, kind=kind) as (watch, ends),
    ):
        ends[1].close()
        assert not watch.has_server_ended()
        ends[0].close()
        assert watch.has_server_ended()


@pytest.mark.parametrize("bystander", ["bus", "dbus-Xy12", "at-spi/bus_0"])
def test_where_no_connection_is_known_all_others_must_have_ended(bystander, tmp_path, caplog):
    with (
        listening(tmp_path / "proxy-1") as server,
        listening(tmp_path / "proxy-2") as other,
        listening(tmp_path / bystander) as bus,
        joined(server, other, bus) as (watch, ends),
    ):
        assert caplog.messages == [
            "stemd does not recognise its connection to the server, and may not notice when the "
            "server ends: restart stemd after the server"
        ]
        ends[0].close()
        assert not watch.has_server_ended()
        ends[1].close()
        assert watch.has_server_ended()


def test_without_any_connection_the_end_is_not_seen_and_that_is_said(listener, caplog):
    watch = ServerWatch(open_sockets(), "pipewire")
    assert not watch.has_server_ended()
    assert "may not notice when the server ends" in caplog.text


def test_an_abstract_bystander_changes_nothing(listener):
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind("\0stemd-test-bus")
        bus.listen()
        with joined(listener, bus) as (watch, ends):
            ends[1].close()
            assert not watch.has_server_ended()
            ends[0].close()
            assert watch.has_server_ended()


@pytest.mark.parametrize("remote", ["music", "/somewhere/else/music", '["other", "music"]'])
@pytest.mark.parametrize("by", ["environment", "argument"])
def test_a_server_of_another_name_is_watched(remote, by, tmp_path, monkeypatch):
    monkeypatch.delenv("PIPEWIRE_REMOTE", raising=False)
    if by == "environment":
        monkeypatch.setenv("PIPEWIRE_REMOTE", remote)
    name = remote if by == "argument" else None
    with listening(tmp_path / "music") as server, joined(server, name=name) as (watch, ends):
        assert not watch.has_server_ended()
        ends[0].close()
        assert watch.has_server_ended()


def test_the_server_sees_no_connection_but_the_library_s(listener):
    listener.setblocking(False)
    with joined(listener) as (watch, _):
        assert not watch.has_server_ended()
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_the_server_sees_the_library_leave(listener):
    before, library = open_sockets(), socket.socket(socket.AF_UNIX)
    library.connect(listener.getsockname())
    watch = ServerWatch(before, "pipewire")
    end = listener.accept()[0]
    end.settimeout(PATIENCE_S)
    watch.close()
    library.close()
    assert end.recv(1) == b""
    end.close()


def test_a_number_that_another_thread_gave_back_does_not_hide_the_server(listener):
    other = socket.socket(socket.AF_UNIX)
    before = open_sockets()
    other.close()
    library = socket.socket(socket.AF_UNIX)  # takes the number of the other
    library.connect(listener.getsockname())
    watch = ServerWatch(before, "pipewire")
    listener.accept()[0].close()
    assert watch.has_server_ended()
    watch.close()
    library.close()


def test_it_accepts_where_a_server_listens_again(listener):
    with joined(listener) as (watch, _):
        watch.close()
        assert watch.accepts_again()
        listener.close()
        assert not watch.accepts_again()


@pytest.mark.timeout(10)
def test_a_server_that_accepts_nothing_is_not_waited_for(listener):
    with joined(listener) as (watch, _):
        watch.close()
        looks = [watch.accepts_again() for _ in range(10)]
        assert looks[0]
        assert not looks[-1]
