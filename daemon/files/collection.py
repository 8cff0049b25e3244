"""Finds the songs in files, folders and playlists, and names a folder for each one's stems."""

import os
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote

from stemd.daemon.errors import AudioFileError
from stemd.daemon.files.song import STANDARD_INPUT, base_name
from stemd.daemon.files.stem_files import origin_of

PLAYLISTS = (".m3u", ".m3u8")

_SOUND = "aac ac3 aif aifc aiff alac amr ape au caf dff dsf dts eac3 flac m4a m4b mka mp2 mp3 mpc"
_MORE_SOUND = "oga ogg opus ra snd spx tta w64 wav wave weba wma wv"
_FILMS = "3gp asf avi flv m2ts m4v mkv mov mp4 mpeg mpg mts ogv ts vob webm wmv"

SUFFIXES = frozenset(f".{each}" for each in f"{_SOUND} {_MORE_SOUND} {_FILMS}".split())
"""Of the files of a folder that are taken for songs, films among them."""


OnFailure: TypeAlias = Callable[[Path, AudioFileError], None]
"""Takes the path that cannot be searched, and the reason."""


def _raise(_: Path, error: AudioFileError) -> None:
    raise error


def songs_among(
    paths: Iterable[Path], on_failure: OnFailure = _raise
) -> Iterator[tuple[Path, Path]]:
    """Yield each song once, with the folder for its stems below the output folder.

    The folder has the song's name without its suffix; where another song has that, with it, or
    with the name of the song's folder, and then with a number. Folders are searched with all
    folders in them, in the order of names; hidden ones, links to folders and stemd's own stems are
    left out. What a playlist names is relative to it.

    Parameters
    ----------
    paths : iterable of Path
        Files, folders and playlists.
    on_failure : callable
        Called for a folder or a playlist that cannot be read or holds no song; by default the error
        is raised.
    """
    seen, taken = set(), set()
    for path in paths:
        for song, folder in _songs_of(path, on_failure):
            if (place := os.path.realpath(song)) in seen:
                continue
            seen.add(place)
            names = (folder, folder.with_name(song.name), Path(song.parent.name) / song.name)
            numbered = (folder.with_name(f"{song.name} {number}") for number in count(2))
            free = next(name for name in chain(names, numbered) if name not in taken)
            taken.add(free)
            yield song, free


def is_several(path: Path) -> bool:
    """Whether a path is a folder or a playlist."""
    return path != STANDARD_INPUT and (path.is_dir() or path.suffix.lower() in PLAYLISTS)


def _songs_of(path: Path, on_failure: OnFailure) -> Iterator[tuple[Path, Path]]:
    if not is_several(path):
        yield path, Path(base_name(path))
        return
    is_empty = True

    def fail(place: Path, error: AudioFileError) -> None:
        nonlocal is_empty
        is_empty = False
        on_failure(place, error)

    for found in (_songs_in_folder if path.is_dir() else _songs_in_playlist)(path, fail):
        is_empty = False
        yield found
    if is_empty:
        on_failure(
            path, AudioFileError(f"{path} holds no songs: name files, or a folder that has some")
        )


def _songs_in_folder(folder: Path, on_failure: OnFailure) -> Iterator[tuple[Path, Path]]:
    def fail(error: OSError) -> None:
        name = error.filename
        on_failure(Path(name), AudioFileError(f"cannot read {name}: {error.strerror}"))

    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(each for each in folders if not each.startswith("."))  # the bin is one
        for name in sorted(names):
            song = Path(place, name)
            if song.suffix.lower() in SUFFIXES and not name.startswith(".") and not origin_of(song):
                yield song, song.relative_to(folder).with_suffix("")


def _songs_in_playlist(playlist: Path, on_failure: OnFailure) -> Iterator[tuple[Path, Path]]:
    try:
        data = playlist.read_bytes()
    except OSError as error:
        on_failure(playlist, AudioFileError(f"cannot read {playlist}: {error.strerror}"))
        return
    for line in map(str.strip, re.split(r"[\r\n]+", _as_text(data))):
        if line and not line.startswith("#"):
            songs = [playlist.parent / name for name in _readings(line)]
            song = next(filter(os.path.lexists, songs), songs[0])
            yield song, Path(song.stem)


def _as_text(data: bytes) -> str:
    """Return a playlist's text; bytes that are no UTF-8 stay what they are, for names."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace").replace("\0", "")
    return data.decode("utf-8-sig", errors="surrogateescape").replace("\0", "")


def _readings(line: str) -> Iterator[str]:
    """Yield what a line of a playlist can mean: a name, Windows's Latin 1 or path, or a URL."""
    lines = [line]
    if any("\udc80" <= each <= "\udcff" for each in line):  # it is no UTF-8
        lines.append(line.encode(errors="surrogateescape").decode("cp1252", errors="replace"))
    yield from lines
    for each in lines:
        yield each.replace("\\", "/")
        yield unquote(each.removeprefix("file://"), errors="surrogateescape")
