"""Files are whole or not there, with the permissions that their owner gave them."""

import os
import stat

import pytest

from stemd.daemon.control.mixer import Strip
from stemd.daemon.control.saved_state import SavedState, StateFile
from stemd.tflite_models.files import PRIVATE, write_whole
from waiting import PATIENCE_S


@pytest.fixture
def umask():
    """A function that sets it for the length of a test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_permissions_that_the_umask_leaves(tmp_path, umask, mask, expected):
    umask(mask)
    write_whole(tmp_path / "file", b"new")
    assert mode_of(tmp_path / "file") == expected


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path, mode):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_whole(path, b"new")
    assert (path.read_bytes(), mode_of(path)) == (b"new", mode)


def test_a_link_gives_no_permissions_to_the_file_in_its_place(tmp_path, umask):
    (tmp_path / "shared").write_bytes(b"")
    (tmp_path / "shared").chmod(0o666)
    (tmp_path / "file").symlink_to("shared")
    umask(0o077)
    write_whole(tmp_path / "file", b"new")
    assert mode_of(tmp_path / "file") == 0o600
    assert not (tmp_path / "file").is_symlink()


def test_permissions_that_are_asked_for_win(tmp_path, umask):
    path = tmp_path / "file"
    umask(0)
    for mode in (PRIVATE, 0o644):
        write_whole(path, b"", mode)
        assert mode_of(path) == mode


def test_saved_state_is_for_its_owner_alone(tmp_path, umask):
    umask(0)
    path = tmp_path / "state"
    StateFile(path).save(SavedState(strips={"drums": Strip(mute=True)})).result(PATIENCE_S)
    assert mode_of(path) == 0o600
