"""Which songs files, folders and playlists hold, and where the stems of each go."""

import os
from pathlib import Path
from urllib.parse import quote_from_bytes

import numpy as np
import pytest
import soundfile

from stemd.daemon.errors import AudioFileError
from stemd.daemon.files import collection
from stemd.daemon.files.collection import is_several, songs_among


@pytest.fixture
def music(tmp_path, monkeypatch):
    """Two albums, and what else is in such folders."""
    monkeypatch.chdir(tmp_path)
    for name in (
        *("a/01.wav", "a/02.MP3", "b/01.wav", "b/film.mkv", "b/c/deep.ogg"),
        *("a/cover.jpg", "a/notes.txt", "b/.hidden.wav", ".Trash-1000/files/gone.wav"),
    ):
        path = tmp_path / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Path("music")


def found(*paths: object) -> dict[str, str]:
    return {str(song): str(folder) for song, folder in songs_among(map(Path, map(str, paths)))}


def test_a_folder_keeps_its_folders(music):
    assert list(found(music).items()) == [
        ("music/a/01.wav", "a/01"),
        ("music/a/02.MP3", "a/02"),
        ("music/b/01.wav", "b/01"),
        ("music/b/film.mkv", "b/film"),
        ("music/b/c/deep.ogg", "b/c/deep"),
    ]


def test_links_to_folders_are_not_followed_and_links_to_songs_are_songs(music):
    (music / "a" / "round").symlink_to("..")
    (music / "a" / "03.wav").symlink_to("nowhere.wav")
    (music / "a" / "04.wav").symlink_to("01.wav")
    assert [song for song in found(music) if "/a/" in song] == [
        *("music/a/01.wav", "music/a/02.MP3", "music/a/03.wav"),
    ]


def test_songs_of_one_name_get_a_folder_each(music):
    (music / "a" / "01.flac").touch()
    songs = [music / name for name in ("a/01.wav", "a/01.flac", "b/01.wav")]
    assert list(found(*songs).values()) == ["01", "01.flac", "01.wav"]


def test_songs_of_folders_of_one_name_get_a_folder_each(music):
    names = [f"{number}/c/x.mp3" for number in range(6)]
    assert list(found(*names).values()) == ["x", "x.mp3", "c/x.mp3", *_numbered(range(2, 5))]


def _numbered(numbers) -> list[str]:
    return [f"x.mp3 {number}" for number in numbers]


def test_a_song_that_is_named_by_two_paths_is_one(music):
    song = music / "a" / "01.wav"
    assert list(found(song, song.absolute())) == ["music/a/01.wav"]


def test_a_song_that_is_named_twice_is_one(music):
    assert list(found(music / "a/01.wav", music / "a", "-")) == [
        *("music/a/01.wav", "music/a/02.MP3", "-"),
    ]


def test_a_playlist_names_songs_beside_it(music):
    (music / "list.m3u8").write_text("\ufeff#EXTM3U\n\n#EXTINF:1,x\na/01.wav\r\n/else/gone.mp3\n")
    assert found(music / "list.m3u8") == {"music/a/01.wav": "01", "/else/gone.mp3": "gone"}


def test_playlists_name_songs_in_any_script(tmp_path, monkeypatch):
    """A wide space is no sign of another encoding."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "日本\u3000語").mkdir()
    (tmp_path / "日本\u3000語" / "曲.mp3").touch()
    (tmp_path / "list.m3u").write_text("日本\u3000語\\曲.mp3\n", encoding="utf-8")
    assert list(found("list.m3u")) == ["日本\u3000語/曲.mp3"]


@pytest.mark.parametrize(
    "data",
    [
        "#EXTM3U\r\nöde/à la  carte.wav\r\n".encode("utf-8-sig"),
        "öde/à la  carte.wav\r#EXTINF:1,x\r".encode(),
        "öde/à la  carte.wav".encode("cp1252"),
        "öde\\à la  carte.wav\r\n".encode("cp1252"),
        "öde\\à la  carte.wav\r\n".encode("utf-16"),
        b"%C3%B6de/%C3%A0%20la%20%20carte.wav\n",
        "öde/\0à la  carte.wav\0\n".encode(),
    ],
    ids=["BOM", "CR", "Latin 1", "Windows", "UTF-16", "URL", "NUL"],
)
def test_playlists_of_other_systems_name_the_same_song(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "öde").mkdir()
    (tmp_path / "öde" / "à la  carte.wav").touch()
    (tmp_path / "list.m3u").write_bytes(data)
    assert found("list.m3u") == {"öde/à la  carte.wav": "à la  carte"}


def test_a_playlist_may_name_songs_by_urls_and_by_bytes_that_are_no_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    song = tmp_path / os.fsdecode(b"caf\xe9.wav")
    song.touch()
    (tmp_path / "list.m3u").write_bytes(
        b"caf\xe9.wav\nfile://" + quote_from_bytes(bytes(song)).encode()
    )
    assert list(found("list.m3u")) == [song.name]


def test_stems_of_stemds_own_are_no_songs(music):
    with soundfile.SoundFile(music / "a" / "vocals.wav", "w", 44_100, 2) as file:
        file.comment = "stemd: 01.wav, 9 bytes; 2stems"
        file.write(np.zeros((9, 2)))
    assert "music/a/vocals.wav" not in found(music)


def test_what_holds_no_songs_is_an_error(tmp_path):
    with pytest.raises(AudioFileError, match="holds no songs: name files, or a folder"):
        found(tmp_path)
    with pytest.raises(AudioFileError, match=r"cannot read .*none\.m3u: No such file"):
        found(tmp_path / "none.m3u")


def test_what_holds_no_songs_does_not_stop_the_others(music):
    failed = {}
    paths = [Path("none.m3u"), music / "b" / "c", Path("empty")]
    paths[2].mkdir()
    songs = songs_among(paths, lambda path, error: failed.update({path: str(error)}))
    assert [song.name for song, _ in songs] == ["deep.ogg"]
    assert failed == {
        paths[0]: "cannot read none.m3u: No such file or directory",
        paths[2]: "empty holds no songs: name files, or a folder that has some",
    }


def test_folders_and_playlists_are_several(music):
    assert [is_several(Path(each)) for each in (music, "x.M3U", "x.wav", "-")] == [
        *(True, True, False, False),
    ]


def test_the_first_song_is_found_before_the_others_are_looked_at(tmp_path, monkeypatch):
    looked_at = []
    monkeypatch.setattr(collection, "origin_of", lambda song: looked_at.append(song.name) or "")
    for name in ("a.mp3", "b.mp3"):
        (tmp_path / name).touch()
    songs = songs_among([tmp_path])
    assert next(songs)[0] == tmp_path / "a.mp3"
    assert looked_at == ["a.mp3"]
