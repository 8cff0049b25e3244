"""stemd's entry in the desktop's menus starts this stemd, whatever its path."""

import re
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import pytest

from stemd.daemon.cli.desktop_entry import ENTRY, entry_for, install_entry, uninstall_entry
from stemd.daemon.desktop_icon import GENERIC, ICON_FILE, icon_name
from stemd.daemon.errors import StemdError


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path / "none"))
    return tmp_path / "data"


def command_in(text: str) -> list[str]:
    """The words of the entry's first Exec=, read as the specification says."""
    value = next(line for line in text.splitlines() if line.startswith("Exec=")).partition("=")[2]
    plain = value.replace("\\\\", "\\")
    words = re.findall(r'"(?:[^"\\]|\\.)*"|[^ "]+', plain)
    return [re.sub(r"\\(.)", r"\1", word.strip('"')).replace("%%", "%") for word in words]


@pytest.mark.parametrize(
    "path",
    [
        *("/usr/bin/stemd", "/home/a b/stemd", "/home/100 %/stemd", "/home/ü/stemd"),
        *('/a"b/stemd', "/a$b`c/stemd", "/a\\b/stemd"),
    ],
)
def test_it_starts_the_program_whatever_its_path(path):
    text = entry_for(Path(path), (files("stemd.desktop") / "stemd.desktop").read_text())
    assert command_in(text) == [path, "top"]
    assert f"TryExec={path}".replace("\\", "\\\\") in text.splitlines()
    assert "=stemd" not in text.replace("Name=stemd", "").replace("Icon=stemd", "")


def test_entry_and_icon_are_written_found_and_removed(data):
    assert icon_name() == GENERIC
    install_entry(Path("/usr/bin/stemd"))
    assert icon_name() == "stemd"
    assert (data / ENTRY).stat().st_mode & 0o777 == 0o644
    assert ElementTree.parse(data / ICON_FILE).getroot().tag.endswith("svg")
    uninstall_entry()
    uninstall_entry()
    assert icon_name() == GENERIC
    assert not (data / ENTRY).exists()


def test_a_folder_that_cannot_be_written_is_told(data):
    data.write_text("")
    with pytest.raises(StemdError, match=r"cannot write .*stemd\.desktop: Not a directory"):
        install_entry(Path("/usr/bin/stemd"))
    with pytest.raises(StemdError, match=r"cannot remove .*stemd\.desktop: Not a directory"):
        uninstall_entry()
