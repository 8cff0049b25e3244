"""A database of JACK2's that nobody has open is removed, and no other one."""

import os
import signal

import pytest

from processes import process_of
from stemd.daemon.cli import examination
from stemd.daemon.graph import stale_shm
from stemd.daemon.graph.jack import open_client
from stemd.daemon.graph.private_server import private_server
from stemd.daemon.graph.stale_shm import metadata_folder, remove_dead_metadata
from stemd.daemon.supervisor.joining import Joiner
from waiting import wait_until


def joining_a_server(join):
    Joiner(join, lambda: None, lambda: True).wait()


@pytest.fixture
def folder(tmp_path):
    """A database, as Berkeley DB has its files."""
    folder = tmp_path / "jack_db"
    folder.mkdir()
    for name in ("__db.001", "__db.002", "metadata.db"):
        (folder / name).write_bytes(b"locks")
    return folder


def test_what_no_process_has_open_is_removed(folder):
    remove_dead_metadata(folder)
    assert list(folder.iterdir()) == []
    folder.rmdir()
    remove_dead_metadata(folder)  # nor is it missed


@pytest.mark.parametrize("name", ["__db.001", "metadata.db"])
def test_what_a_process_has_open_stays(folder, name):
    with (folder / name).open("rb+"):
        remove_dead_metadata(folder)
        assert len(list(folder.iterdir())) == 3
    remove_dead_metadata(folder)
    assert list(folder.iterdir()) == []


def test_the_locks_go_last(folder, monkeypatch):
    """Whoever is killed halfway leaves what is recognised the next time."""
    gone = []
    monkeypatch.setattr(os, "unlink", lambda name, dir_fd: gone.append(name))
    remove_dead_metadata(folder)
    assert sorted(gone) == ["__db.001", "__db.002", "metadata.db"]
    assert gone[-1] == "__db.001"


def test_what_is_no_database_stays(folder):
    (folder / "__db.001").unlink()
    remove_dead_metadata(folder)
    assert len(list(folder.iterdir())) == 2


def test_a_symbolic_link_is_not_followed(folder, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder)
    remove_dead_metadata(link)
    assert len(list(folder.iterdir())) == 3


def test_nor_is_one_inside(folder, tmp_path):
    (folder / "__db.001").rename(tmp_path / "elsewhere")
    (folder / "__db.001").symlink_to(tmp_path / "elsewhere")
    remove_dead_metadata(folder)
    assert (folder / "__db.001").is_symlink()
    assert (folder / "metadata.db").exists()


def test_another_users_stays(folder, monkeypatch):
    another_user = folder.stat().st_uid + 1
    monkeypatch.setattr(os, "getuid", lambda: another_user)
    remove_dead_metadata(folder)
    assert len(list(folder.iterdir())) == 3


def test_a_server_that_lives_keeps_its_own_and_what_a_killed_one_left_is_removed():
    def region():
        return (metadata_folder() / "__db.001").stat().st_ino

    with private_server(realtime=False) as name:
        living = region()
        open_client("guest", "jack", name).close()
        assert region() == living
        process = process_of(name)
        os.kill(process, signal.SIGKILL)
        wait_until(lambda: jack_is_gone(name))
        assert region() == living  # or there would be nothing to remove
    with private_server(realtime=False):
        assert region() != living


@pytest.mark.parametrize("who", [joining_a_server, examination._patiently])
def test_who_looks_for_a_server_removes_it_first(who, folder, monkeypatch):
    monkeypatch.setattr(stale_shm, "metadata_folder", lambda: folder)

    def look():
        assert list(folder.iterdir()) == []
        return iter(())

    who(look)


def jack_is_gone(name: str) -> bool:
    try:
        process_of(name)
    except AssertionError:
        return True
    return False


def test_its_signals_end_no_process(folder):
    """Who opens a file while it is held makes the kernel tell who holds it."""
    place = os.open(folder, os.O_RDONLY)
    with stale_shm._alone_with("metadata.db", place), pytest.raises(BlockingIOError):
        os.close(os.open(folder / "metadata.db", os.O_RDWR | os.O_NONBLOCK))
    os.close(place)
