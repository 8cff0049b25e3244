"""What is kept from one run to the next."""

import os

import pytest

from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.kept import Keeper, Kept
from stemd.daemon.control.mixer import Strip

SOMETHING = Kept(
    strips={"drums": Strip(gain=-3, solo=True)},
    bypass=True,
    bindings=(Binding(cc=7, does="gain", stem="vocals"),),
)


def keep(keeper: Keeper, what: Kept = SOMETHING) -> bool:
    return keeper.keep(what).result(10)


def test_what_was_kept_is_recalled(tmp_path):
    path = tmp_path / "folder" / "state"
    assert keep(Keeper(path))
    assert Keeper(path).recall() == SOMETHING


def test_the_last_is_kept_at_the_end(tmp_path):
    keeper = Keeper(tmp_path / "state")
    keeper.keep(Kept(bypass=True))
    keeper.close(SOMETHING)
    assert Keeper(tmp_path / "state").recall() == SOMETHING


def test_without_a_file_nothing_is_kept():
    keeper = Keeper(None)
    assert keep(keeper)
    assert keeper.recall() == Kept()


def test_the_same_is_not_written_again(tmp_path):
    keeper = Keeper(tmp_path / "state")
    keep(keeper)
    (tmp_path / "state").unlink()
    keep(keeper)
    assert not (tmp_path / "state").exists()
    keep(keeper, Kept())
    assert (tmp_path / "state").exists()


def test_what_nobody_set_makes_no_file(tmp_path):
    keeper = Keeper(tmp_path / "state")
    keep(keeper, keeper.recall())
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"strips": {"tuba": {}}}', b'{"x": 1}'])
def test_a_damaged_file_is_put_aside_and_said(tmp_path, caplog, damage):
    (tmp_path / "state").write_bytes(damage)
    keeper = Keeper(tmp_path / "state")
    assert keeper.recall() == Kept()
    assert f"state is damaged: it is now {tmp_path}/state.damaged" in caplog.text
    assert keep(keeper)
    assert (tmp_path / "state.damaged").read_bytes() == damage


def test_a_file_that_cannot_be_read_is_not_written_over(tmp_path, caplog):
    (tmp_path / "state").mkdir()
    keeper = Keeper(tmp_path / "state")
    assert keeper.recall() == Kept()
    assert "cannot be read: Is a directory; nothing is kept this time" in caplog.text
    assert keep(keeper)
    assert (tmp_path / "state").is_dir()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_neither_waited_for_nor_written_over(tmp_path, caplog, make):
    path = tmp_path / "state"
    make(path)
    keeper = Keeper(path)
    assert keeper.recall() == Kept()
    assert "and must be an ordinary file; nothing is kept this time" in caplog.text
    assert keep(keeper)
    assert not path.is_file()


def test_a_place_that_cannot_be_written_is_said_and_tried_again(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    keeper = Keeper(tmp_path / "file" / "state")
    assert not keep(keeper)
    assert "cannot keep the state in" in caplog.text
    (tmp_path / "file").unlink()
    assert keep(keeper)
    assert Keeper(tmp_path / "file" / "state").recall() == SOMETHING
