"""A song's picture is in its stems' files, byte for byte, where the format holds pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from songs import run_ffmpeg
from stemd.daemon.files import cover
from stemd.daemon.files.cover import find_cover
from stemd.daemon.files.song import Song
from stemd.daemon.files.stem_files import Destination, origin_of, writing_stems

SIDE = {"mjpeg": 400, "png": 300}
"""Pixels; the PNG is larger than the part of a file where tags are looked for first."""


def picture(folder: Path, codec: str) -> Path:
    path = folder / f"cover.{'jpg' if codec == 'mjpeg' else 'png'}"
    source = f"nullsrc=s={SIDE[codec]}x{SIDE[codec]},geq=random(1)*255:128:128"
    run_ffmpeg("-f", "lavfi", "-i", source, "-frames:v", 1, "-c:v", codec, path)
    return path


def song(folder: Path, codec: str, suffix: str = "mp3") -> Path:
    x = 0.1 * np.random.default_rng(1).standard_normal((9_000, 2))
    soundfile.write(folder / "plain.wav", x, 44_100)
    path = folder / f"song.{suffix}"
    maps = ["-map", "0:a", "-map", "1:v", "-c:v", "copy", "-disposition:v:0", "attached_pic"]
    run_ffmpeg("-i", folder / "plain.wav", "-i", picture(folder, codec), *maps, path)
    return path


def write(path: Path, destination: Destination) -> Path:
    names = ["stems"]
    streams = 10 if destination.suffix == "stem.mp4" else 2
    with Song(path) as opened:
        own = replace(destination, song=opened.fingerprint, settings="x", cover=find_cover(path))
    with writing_stems(own, names, 44_100, 0) as (file,):
        file.write(np.full((streams, 50_000), 0.1, np.float32))
    assert own.is_done(names)
    return own.targets(names)[0]


@pytest.mark.parametrize("codec", ["mjpeg", "png"])
@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg", "opus", "m4a", "stem.mp4"])
def test_the_picture_comes_along(suffix, codec, tmp_path):
    source = song(tmp_path, codec)
    data = (tmp_path / f"cover.{'jpg' if codec == 'mjpeg' else 'png'}").read_bytes()
    tags = {"title": "A = B; C # D \\ E", "artist": "é"}
    made = write(source, Destination(tmp_path / "stems", suffix, "PCM_24", tags=tags))
    assert find_cover(made) == (codec, data)
    assert origin_of(made)
    with Song(made) as opened:
        assert sum(block.shape[1] for block in opened.blocks()) >= 50_000
        assert len(opened.damage) == 0
        title = tags["title"] if suffix == "stem.mp4" else f"{tags['title']} (stems)"
        assert dict(opened.tags) == tags | {"title": title}


@pytest.mark.parametrize("suffix", ["flac", "m4a"])
def test_pictures_of_other_kinds_of_songs_are_found(suffix, tmp_path):
    source = song(tmp_path, "mjpeg", suffix)
    assert find_cover(source) == ("mjpeg", (tmp_path / "cover.jpg").read_bytes())


def test_a_film_has_no_cover_and_without_ffmpeg_there_is_none(tmp_path, monkeypatch):
    film = tmp_path / "film.mp4"
    source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=5:duration=1"]
    run_ffmpeg(*source, "-c:v", "mjpeg", film)
    assert find_cover(film) is None
    made = song(tmp_path, "mjpeg")
    monkeypatch.setattr(cover, "which", lambda program: None)
    assert find_cover(made) is None
