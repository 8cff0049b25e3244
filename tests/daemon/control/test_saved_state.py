"""What is kept from one run to the next."""

import json
import os
import re

import pytest

from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.mixer import Strip
from stemd.daemon.control.saved_state import MOST_BYTES, Keeper, Kept

SOMETHING = Kept(
    strips={"drums": Strip(gain=-3, solo=True)},
    bypass=True,
    bindings=(Binding(cc=7, does="gain", stem="vocals"),),
)


def keep(keeper: Keeper, what: Kept = SOMETHING) -> str:
    """Why it is not kept."""
    return keeper.keep(what).result(10)


def test_what_was_kept_is_recalled(tmp_path):
    path = tmp_path / "folder" / "state"
    assert keep(Keeper(path)) == ""
    assert Keeper(path).recall() == SOMETHING


def test_a_strip_of_defaults_is_kept_for_the_configuration_may_have_another(tmp_path):
    path, back_to_0_db = tmp_path / "state", Kept(strips={"drums": Strip()})
    assert keep(Keeper(path), back_to_0_db) == ""
    assert Keeper(path).recall() == back_to_0_db


def test_the_last_is_kept_at_the_end(tmp_path):
    keeper = Keeper(tmp_path / "state")
    keeper.keep(Kept(bypass=True))
    keeper.close(SOMETHING)
    assert Keeper(tmp_path / "state").recall() == SOMETHING


def test_without_a_file_nothing_is_kept():
    keeper = Keeper(None)
    assert keep(keeper) == ""
    assert keeper.recall() == Kept()


def test_of_two_daemons_with_one_file_the_second_says_so_and_writes_nothing(tmp_path, caplog):
    path = tmp_path / "state"
    first, second = Keeper(path), Keeper(path)
    first.recall()
    assert keep(first) == ""
    assert second.recall() == SOMETHING
    reason = f"another stemd saves its state in {path}: name another file (control.state_file)"
    assert keep(second, Kept()) == reason
    assert caplog.messages == [f"{reason}; nothing is kept this time"]
    second.close(Kept())
    first.close(SOMETHING)
    third = Keeper(path)
    assert third.recall() == SOMETHING
    assert keep(third, Kept()) == ""
    third.close(Kept())


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


@pytest.mark.parametrize(
    "damage",
    [
        *(b"", b"{", b"[]", b"\xff", b"7", b"null"),
        *(b'{"x": ' + 5_000 * b"9" + b"}", b'{"x": ' + 9_999 * b"[" + 9_999 * b"]" + b"}"),
    ],
)
def test_a_damaged_file_is_put_aside_and_said(tmp_path, caplog, damage):
    (tmp_path / "state").write_bytes(damage)
    keeper = Keeper(tmp_path / "state")
    assert keeper.recall() == Kept()
    assert f"state is damaged: it is now {tmp_path}/state.damaged" in caplog.text
    assert keep(keeper) == ""
    assert (tmp_path / "state.damaged").read_bytes() == damage
    assert Keeper(tmp_path / "state").recall() == SOMETHING


LATER = {
    "version": 7,
    "strips": {
        "drums": {"gain": -3.0, "solo": True, "pan": 0.5},
        "vocals": {"reverb": {"send": -20}},
        "guitar": {"gain": 1.0},
    },
    "bypass": True,
    "bindings": [
        {"cc": 7, "does": "gain", "stem": "vocals", "curve": "log"},
        {"note": 36, "does": "mute", "stem": "drums"},
        {"cc": 9, "does": "pan", "stem": "bass"},
    ],
    "scenes": [{"name": "verse"}],
}


def test_what_a_later_version_kept_is_used_as_far_as_it_is_known_and_stays(tmp_path, caplog):
    path = tmp_path / "state"
    path.write_text(json.dumps(LATER))
    keeper = Keeper(path)
    known = Kept(
        strips={**SOMETHING.strips, "vocals": Strip()}, bypass=True, bindings=SOMETHING.bindings
    )
    assert keeper.recall() == known
    assert not caplog.text
    assert keep(keeper, known.model_copy(update={"bypass": False})) == ""
    expected = {key: value for key, value in LATER.items() if key != "bypass"}
    assert json.loads(path.read_text()) == expected

    changed = Kept(
        strips={"drums": Strip(mute=True), "bass": Strip(gain=-1)},
        bindings=(*SOMETHING.bindings, Binding(cc=8, does="bypass")),
    )
    assert keep(keeper, changed) == ""
    written = json.loads(path.read_text())
    assert written["strips"] == {
        "drums": {"mute": True, "pan": 0.5},
        "vocals": {"reverb": {"send": -20}},
        "guitar": {"gain": 1.0},
        "bass": {"gain": -1.0},
    }
    assert written["bindings"] == [
        LATER["bindings"][0],
        {"cc": 8, "does": "bypass"},
        *LATER["bindings"][1:],
    ]
    assert written["scenes"] == LATER["scenes"]
    assert Keeper(path).recall().bindings == changed.bindings


@pytest.mark.parametrize(
    ("later", "named"),
    [
        ({"strips": []}, "strips"),
        ({"strips": {"drums": 7}}, "strips.drums"),
        ({"strips": {"drums": {"gain": {"follows": "bass"}, "solo": True}}}, "strips.drums.gain"),
        (
            {"strips": {"drums": {"gain": "loud", "mute": 1}}},
            "strips.drums.gain, strips.drums.mute",
        ),
        ({"bypass": "soft"}, "bypass"),
        ({"bindings": {"7": "gain"}}, "bindings"),
        ({"bindings": [7]}, ""),
    ],
)
def test_values_of_a_later_version_are_named_and_stay_while_the_rest_is_used(
    tmp_path, caplog, later, named
):
    path = tmp_path / "state"
    content = {"strips": {}, **later}
    if isinstance(content["strips"], dict):
        content["strips"] |= {"vocals": {"mute": True}}
    path.write_text(json.dumps(content))
    keeper = Keeper(path)
    recalled = keeper.recall()
    said = f"holds values that this version of stemd does not understand: {named}; the rest is used"
    assert (said in caplog.text) == bool(named)
    if isinstance(content["strips"], dict):
        assert recalled.strips["vocals"] == Strip(mute=True)
    assert keeper.keep(recalled, anew=True).result(10) == ""
    assert json.loads(path.read_text()) == content
    assert not (tmp_path / "state.damaged").exists()


def test_a_value_of_a_later_version_is_replaced_once_the_user_sets_it(tmp_path):
    path = tmp_path / "state"
    path.write_text(
        '{"strips": {"drums": {"gain": "loud", "pan": 1}, "bass": 7}, "bypass": "soft"}'
    )
    keeper = Keeper(path)
    keeper.recall()
    now = Kept(strips={"drums": Strip(gain=-3), "bass": Strip(mute=True)}, bypass=True)
    assert keep(keeper, now) == ""
    assert Keeper(path).recall() == now
    assert json.loads(path.read_text())["strips"]["drums"] == {"gain": -3.0, "pan": 1}


def directory(path):
    path.mkdir()


def fifo(path):
    os.mkfifo(path)


def huge(path):
    with path.open("wb") as file:
        file.truncate(10 * MOST_BYTES)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (directory, "Is a directory"),
        (fifo, "it is a .* must be an ordinary file"),
        (huge, "it is longer than"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a .* must be an ordinary file"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
    ids=["folder", "fifo", "huge", "device", "loop"],
)
def test_what_cannot_be_read_is_not_written_over_and_never_said_to_be_kept(
    tmp_path, caplog, make, reason
):
    path = tmp_path / "state"
    make(path)
    before = path.lstat()
    keeper = Keeper(path)
    assert keeper.recall() == Kept()
    assert re.search(f"cannot be read: {reason}", caplog.text)
    assert "nothing is kept this time" in caplog.text
    for _ in range(2):
        assert re.search(f"state cannot be read: {reason}", keep(keeper))
    assert path.lstat().st_ino == before.st_ino


def test_a_damaged_file_that_cannot_be_renamed_stays(tmp_path, caplog):
    (tmp_path / "state").write_bytes(b"{")
    (tmp_path / "state.damaged").mkdir()
    keeper = Keeper(tmp_path / "state")
    assert keeper.recall() == Kept()
    assert "is damaged, and cannot be renamed: Is a directory" in keep(keeper)
    assert (tmp_path / "state").read_bytes() == b"{"


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
    assert "cannot keep the state in" in keep(keeper)
    assert "cannot keep the state in" in caplog.text
    (tmp_path / "file").unlink()
    assert keep(keeper) == ""
    assert Keeper(tmp_path / "file" / "state").recall() == SOMETHING


def test_what_was_removed_meanwhile_is_written_anew_where_it_is_asked_for(tmp_path):
    path = tmp_path / "state"
    keeper = Keeper(path)
    keep(keeper)
    path.unlink()
    assert keeper.keep(SOMETHING, anew=True).result(10) == ""
    assert path.exists()
