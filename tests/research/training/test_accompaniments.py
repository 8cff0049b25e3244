"""Songs that a program makes up are the same on every machine."""

from research.training import accompaniments

MMA = """
import os
import sys
from pathlib import Path
source, midi = Path(sys.argv[3]), Path(sys.argv[2])
assert Path("lib/rock.mma").exists()
midi.write_text(f"{sys.argv[1:]} {os.environ['HOME']} {os.environ['LC_ALL']} {source.read_text()}")
"""


def test_a_song_does_not_tell_where_it_was_made(tmp_path, monkeypatch):
    monkeypatch.setattr(accompaniments, "version", lambda _: "1")
    root = tmp_path / "usr/share/mma"
    for path, text in ((root / "lib/rock.mma", "DefGroove Rock\n"), (root / "../../bin/mma", MMA)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    made = []
    for name in ("here", "there"):
        for variable in ("HOME", "LC_ALL"):
            monkeypatch.setenv(variable, name)
        (tmp_path / name).mkdir()
        made.append(accompaniments._play(root, tmp_path / name, root / "lib/rock.mma"))
    assert made[0] == made[1]
    assert b"Groove rock:Rock" in made[0][1]
    assert str(tmp_path).encode() not in made[0][1]
    assert [path.name for path in (tmp_path / "here").iterdir()] == [
        path.name for path in (tmp_path / "there").iterdir()
    ]
