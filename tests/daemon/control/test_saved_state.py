"""What is kept from one run to the next."""

import json
import os
import re

import pytest

from stemd.daemon.control.bindings import Binding
from stemd.daemon.control.mixer import Strip
from stemd.daemon.control.saved_state import MOST_BYTES, SavedState, StateFile
from waiting import PATIENCE_S

SOMETHING = SavedState(
    strips={"drums": Strip(gain=-3, solo=True)},
    bypass=True,
    device="all",
    bindings=(Binding(cc=7, does="gain", stem="vocals"),),
)


def save(state_file: StateFile, what: SavedState = SOMETHING) -> str:
    """Why it is not kept."""
    return state_file.save(what).result(PATIENCE_S)


def test_what_was_kept_is_recalled(tmp_path):
    path = tmp_path / "folder" / "state"
    assert save(StateFile(path)) == ""
    assert StateFile(path).read() == SOMETHING


def test_where_the_file_is_a_link_what_it_leads_to_is_written(tmp_path):
    link, target = tmp_path / "link", tmp_path / "state"
    link.symlink_to(target)
    by_link, by_name = StateFile(link), StateFile(target)
    by_link.read()
    assert save(by_link) == ""
    assert by_name.read() == SOMETHING
    assert "another stemd" in save(by_name, SavedState(bypass=True)), "there is one lock for both"
    by_link.close(SOMETHING)
    target.write_bytes(b"{")
    assert StateFile(link).read() == SavedState()
    assert (tmp_path / "state.damaged").read_bytes() == b"{"
    assert link.is_symlink()


def test_a_strip_of_defaults_is_kept_for_the_configuration_may_have_another(tmp_path):
    path, back_to_0_db = tmp_path / "state", SavedState(strips={"drums": Strip()})
    assert save(StateFile(path), back_to_0_db) == ""
    assert StateFile(path).read() == back_to_0_db


def test_the_last_is_kept_at_the_end(tmp_path):
    state_file = StateFile(tmp_path / "state")
    state_file.save(SavedState(bypass=True))
    state_file.close(SOMETHING)
    assert StateFile(tmp_path / "state").read() == SOMETHING


def test_without_a_file_nothing_is_kept():
    state_file = StateFile(None)
    assert save(state_file) == ""
    assert state_file.read() == SavedState()


def test_of_two_daemons_with_one_file_the_second_says_so_and_writes_nothing(tmp_path, caplog):
    path = tmp_path / "state"
    first, second = StateFile(path), StateFile(path)
    first.read()
    assert save(first) == ""
    assert second.read() == SOMETHING
    reason = f"another stemd saves its state in {path}: name another file (control.state_file)"
    assert save(second, SavedState()) == reason
    assert caplog.messages == [f"{reason}; nothing is saved this time"]
    second.close(SavedState())
    first.close(SOMETHING)
    third = StateFile(path)
    assert third.read() == SOMETHING
    assert save(third, SavedState()) == ""
    third.close(SavedState())


def test_the_same_is_not_written_again(tmp_path):
    state_file = StateFile(tmp_path / "state")
    save(state_file)
    (tmp_path / "state").unlink()
    save(state_file)
    assert not (tmp_path / "state").exists()
    save(state_file, SavedState())
    assert (tmp_path / "state").exists()


def test_what_was_never_set_makes_no_file(tmp_path):
    state_file = StateFile(tmp_path / "state")
    save(state_file, state_file.read())
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
    state_file = StateFile(tmp_path / "state")
    assert state_file.read() == SavedState()
    assert f"state is damaged: it is now {tmp_path}/state.damaged" in caplog.text
    assert save(state_file) == ""
    assert (tmp_path / "state.damaged").read_bytes() == damage
    assert StateFile(tmp_path / "state").read() == SOMETHING


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
        {"bend": 1, "does": "mute", "stem": "drums"},
        {"cc": 9, "does": "pan", "stem": "bass"},
    ],
    "scenes": [{"name": "verse"}],
}


def test_what_a_later_version_kept_is_used_as_far_as_it_is_known_and_stays(tmp_path, caplog):
    path = tmp_path / "state"
    path.write_text(json.dumps(LATER))
    state_file = StateFile(path)
    known = SavedState(
        strips={**SOMETHING.strips, "vocals": Strip()}, bypass=True, bindings=SOMETHING.bindings
    )
    assert state_file.read() == known
    assert not caplog.text
    assert save(state_file, known.model_copy(update={"bypass": False})) == ""
    expected = {key: value for key, value in LATER.items() if key != "bypass"}
    assert json.loads(path.read_text()) == expected

    changed = SavedState(
        strips={"drums": Strip(mute=True), "bass": Strip(gain=-1)},
        bindings=(*SOMETHING.bindings, Binding(cc=8, does="bypass")),
    )
    assert save(state_file, changed) == ""
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
    assert StateFile(path).read().bindings == changed.bindings


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
        ({"device": "everything"}, "device"),
        ({"device": 1}, "device"),
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
    state_file = StateFile(path)
    recalled = state_file.read()
    said = f"holds values that this version of stemd does not understand: {named}; the rest is used"
    assert (said in caplog.text) == bool(named)
    if isinstance(content["strips"], dict):
        assert recalled.strips["vocals"] == Strip(mute=True)
    assert state_file.save(recalled, again=True).result(PATIENCE_S) == ""
    assert json.loads(path.read_text()) == content
    assert not (tmp_path / "state.damaged").exists()


def test_a_value_of_a_later_version_is_replaced_once_the_user_sets_it(tmp_path):
    path = tmp_path / "state"
    path.write_text(
        '{"strips": {"drums": {"gain": "loud", "pan": 1}, "bass": 7}, "bypass": "soft"}'
    )
    state_file = StateFile(path)
    state_file.read()
    now = SavedState(strips={"drums": Strip(gain=-3), "bass": Strip(mute=True)}, bypass=True)
    assert save(state_file, now) == ""
    assert StateFile(path).read() == now
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
    state_file = StateFile(path)
    assert state_file.read() == SavedState()
    assert re.search(f"cannot be read: {reason}", caplog.text)
    assert "nothing is saved this time" in caplog.text
    for _ in range(2):
        assert re.search(f"state cannot be read: {reason}", save(state_file))
    assert path.lstat().st_ino == before.st_ino


def test_a_damaged_file_that_cannot_be_renamed_stays(tmp_path, caplog):
    (tmp_path / "state").write_bytes(b"{")
    (tmp_path / "state.damaged").mkdir()
    state_file = StateFile(tmp_path / "state")
    assert state_file.read() == SavedState()
    assert "is damaged, and cannot be renamed: Is a directory" in save(state_file)
    assert (tmp_path / "state").read_bytes() == b"{"


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_neither_waited_for_nor_written_over(tmp_path, caplog, make):
    path = tmp_path / "state"
    make(path)
    state_file = StateFile(path)
    assert state_file.read() == SavedState()
    assert "and must be an ordinary file; nothing is saved this time" in caplog.text
    assert save(state_file)
    assert not path.is_file()


def test_a_place_that_cannot_be_written_is_said_and_tried_again(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    state_file = StateFile(tmp_path / "file" / "state")
    assert "cannot save the state in" in save(state_file)
    assert "cannot save the state in" in caplog.text
    (tmp_path / "file").unlink()
    assert save(state_file) == ""
    assert StateFile(tmp_path / "file" / "state").read() == SOMETHING


def test_what_was_removed_meanwhile_is_written_anew_where_it_is_asked_for(tmp_path):
    path = tmp_path / "state"
    state_file = StateFile(path)
    save(state_file)
    path.unlink()
    assert state_file.save(SOMETHING, again=True).result(PATIENCE_S) == ""
    assert path.exists()
