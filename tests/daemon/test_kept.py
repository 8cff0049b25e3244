"""What is kept from one run to the next."""

from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.kept import Keeper, Kept
from stemd.daemon.control.mixer import Strip

SOMETHING = Kept(
    strips={"drums": Strip(gain=-3, solo=True)},
    bypass=True,
    bindings=(Binding(cc=7, does="gain", stem="vocals"),),
)


def test_what_was_kept_is_recalled(tmp_path):
    path = tmp_path / "folder" / "state"
    Keeper(path).keep(SOMETHING)
    assert Keeper(path).recall() == SOMETHING


def test_without_a_file_nothing_is_kept():
    keeper = Keeper(None)
    keeper.keep(SOMETHING)
    assert keeper.recall() == Kept()


def test_the_same_is_not_written_again(tmp_path):
    keeper = Keeper(tmp_path / "state")
    keeper.keep(SOMETHING)
    (tmp_path / "state").unlink()
    keeper.keep(SOMETHING)
    assert not (tmp_path / "state").exists()
    keeper.keep(Kept())
    assert (tmp_path / "state").exists()


def test_a_damaged_file_is_left_out_of_account_and_said(tmp_path, caplog):
    for damage in (b"", b"{", b'{"strips": {"tuba": {}}}', b'{"x": 1}'):
        (tmp_path / "state").write_bytes(damage)
        assert Keeper(tmp_path / "state").recall() == Kept()
    assert caplog.text.count("is left out of account: it is damaged") == 4


def test_a_place_that_cannot_be_written_is_said_once(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    keeper = Keeper(tmp_path / "file" / "state")
    keeper.keep(SOMETHING)
    keeper.keep(SOMETHING)
    assert caplog.text.count("cannot keep the state in") == 1
