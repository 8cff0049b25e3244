"""One process has a path, no other removes its socket, and nobody else can put one in its place."""

import os
import signal
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from stemd.daemon.control.interfaces.owned_socket import OwnedSocket
from stemd.daemon.control.socket_paths import listens, problem_with, runtime_folder
from stemd.daemon.errors import StemdError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s"


@pytest.fixture
def of_a_stranger(monkeypatch):
    """A function that has a folder, or a link, belong to another user; it takes no rights."""
    real, given = Path.lstat, set()

    def lstat(path):
        info = real(path)
        return os.stat_result((*info[:4], 12_345, *info[5:])) if path in given else info

    monkeypatch.setattr(Path, "lstat", lstat)
    return given.add


def make_stale(path) -> None:
    """As one that was killed leaves it."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


@pytest.mark.parametrize("is_stale", [True, False])
def test_of_many_that_start_at_once_one_has_the_path(path, is_stale):
    many = 8
    with ThreadPoolExecutor(many) as pool:
        for _ in range(40):
            if is_stale:
                make_stale(path)
            start = Barrier(many)

            def attempt(_: int, start=start) -> OwnedSocket | str:
                start.wait()
                try:
                    return OwnedSocket(path)
                except StemdError as error:
                    return str(error)

            came = list(pool.map(attempt, range(many)))
            (owner,) = [each for each in came if isinstance(each, OwnedSocket)]
            for told in came:
                assert told is owner or "another stemd listens there; choose another" in told
            assert listens(path)
            owner.close()
            assert not path.exists()


def test_one_that_ends_leaves_its_successors_alone(path):
    ending = OwnedSocket(path)
    ending.give_up()
    successor = OwnedSocket(path)
    ending.close()
    assert listens(path)
    successor.close()


def test_what_took_the_place_of_its_file_is_left_alone(path):
    owner = OwnedSocket(path)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        owner.close()
        assert path.is_socket()


def test_what_a_killed_one_left_is_taken_over(path):
    program = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from stemd.daemon.control.interfaces.owned_socket import OwnedSocket\n"
        "owner = OwnedSocket(Path(sys.argv[1]))\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program, path]).returncode == -signal.SIGKILL
    assert path.is_socket()
    OwnedSocket(path).close()


def test_a_program_that_takes_no_locks_keeps_its_socket(path):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(StemdError, match="another program listens there; choose another place"):
            OwnedSocket(path)
        assert listens(path)


def test_a_file_in_its_place_is_left_alone(path):
    path.write_text("mine")
    with pytest.raises(StemdError, match=r"cannot make the control socket .*/s: File exists"):
        OwnedSocket(path)
    assert path.read_text() == "mine"


def test_a_client_that_finds_the_file_finds_that_it_listens(path, monkeypatch):
    """Between binding and listening others are refused."""
    listen, seen = socket.socket.listen, []

    def observed(self):
        seen.append(path.exists())
        listen(self)
        seen.append(path.exists())

    monkeypatch.setattr(socket.socket, "listen", observed)
    owner = OwnedSocket(path)
    assert seen == [False, False]
    assert listens(path)
    assert {each.name for each in path.parent.iterdir()} == {"s", "s.lock"}
    owner.close()


def test_one_that_failed_keeps_no_lock(path):
    path.write_text("mine")
    with pytest.raises(StemdError):
        OwnedSocket(path)
    path.unlink()
    OwnedSocket(path).close()


def test_it_and_the_folders_made_for_it_are_its_owners_alone(tmp_path):
    before = os.umask(0)
    try:
        owner = OwnedSocket(tmp_path / "a" / "b" / "s")
    finally:
        os.umask(before)
    assert stat.S_IMODE(owner.path.stat().st_mode) == 0o600
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    owner.close()


@pytest.mark.parametrize("where", [".", "inner"])
def test_a_folder_of_another_user_is_refused(tmp_path, of_a_stranger, where):
    folder = tmp_path / "run"
    (folder / "inner").mkdir(parents=True)
    of_a_stranger(folder)
    with pytest.raises(StemdError, match=r"/run belongs to another user \(\d+\); choose another"):
        OwnedSocket(folder / where / "s")


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path, mode):
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(mode)
    told = rf"others may write to .*/run \(mode 0{mode:o}; chmod go-w ends that\); choose another"
    with pytest.raises(StemdError, match=told):
        OwnedSocket(folder / "s")
    with pytest.raises(StemdError, match="others may write"):
        OwnedSocket(folder / "new" / "s")


def test_a_folder_like_tmp_is_taken(tmp_path):
    tmp_path.chmod(0o1777)
    OwnedSocket(tmp_path / "s").close()


def test_a_link_is_followed_to_a_folder_that_is_looked_at_too(tmp_path, of_a_stranger):
    good, bad = tmp_path / "good", tmp_path / "bad"
    for each in (good, bad):
        each.mkdir()
        (tmp_path / f"to-{each.name}").symlink_to(each)
    bad.chmod(0o770)
    OwnedSocket(tmp_path / "to-good" / "s").close()
    with pytest.raises(StemdError, match=r"others may write to .*/bad"):
        OwnedSocket(tmp_path / "to-bad" / "s")
    of_a_stranger(tmp_path / "to-good")
    with pytest.raises(StemdError, match="to-good belongs to another user"):
        OwnedSocket(tmp_path / "to-good" / "s")


def test_links_that_go_round_in_circles_are_an_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(StemdError, match="cannot make the control socket"):
        OwnedSocket(tmp_path / "a" / "s")


def test_a_lock_file_that_is_a_link_is_not_followed(path, tmp_path):
    (tmp_path / "s.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StemdError, match="cannot make the control socket"):
        OwnedSocket(path)
    assert not (tmp_path / "elsewhere").exists()


def test_what_platformdirs_gives_is_looked_at(tmp_path, monkeypatch, of_a_stranger):
    """Before 4.14 it gives /tmp/runtime-UID, whoever made that."""
    from stemd.daemon.control import socket_paths

    squatted = tmp_path / "runtime-0"
    squatted.mkdir()
    monkeypatch.setattr(socket_paths, "user_runtime_path", lambda name: squatted / name)
    assert runtime_folder() == squatted / "stemd"
    of_a_stranger(squatted)
    with pytest.raises(StemdError, match=r"no folder for a control socket: .*runtime-0 belongs to"):
        runtime_folder()


def test_the_usual_folders_are_no_problem(tmp_path):
    assert not problem_with(tmp_path)
    assert not problem_with(tmp_path / "missing" / "too")
