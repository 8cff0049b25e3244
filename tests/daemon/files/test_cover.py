"""A song's picture is in its stems' files, byte for byte, where the format holds pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from songs import run_ffmpeg
from stemd.daemon.files import cover, separator
from stemd.daemon.files.cover import Cover, find_cover, insert_picture
from stemd.daemon.files.job import Job, run_job
from stemd.daemon.files.separate import wanted_files
from stemd.daemon.files.separator import works_for
from stemd.daemon.files.song import Song
from stemd.daemon.files.stem_files import Destination, origin_of, writing_stems
from stemd.dsp.mask_kinds import MaskExtension
from two_networks import low_and_high

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


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        *(("flac", "png"), ("mp3", "mjpeg"), ("ogg", "png"), ("opus", "mjpeg")),
        *(("m4a", "png"), ("stem.mp4", "mjpeg")),
    ],
)
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


def tagged(folder: Path, picture: bytes, mime: bytes = b"image/jpeg") -> Path:
    """Return an MP3 that declares some data as its cover."""
    x = 0.1 * np.random.default_rng(1).standard_normal((9_000, 2))
    soundfile.write(folder / "plain.mp3", x, 44_100)
    content = b"\0" + mime + b"\0\3\0" + picture
    frame = b"APIC" + len(content).to_bytes(4, "big") + b"\0\0" + content
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    path = folder / "song.mp3"
    path.write_bytes(b"ID3\3\0\0" + size + frame + (folder / "plain.mp3").read_bytes())
    return path


BAD_PICTURES = {
    "html": b"<html>404 Not Found</html>" * 99,
    "webp": b"RIFF\x24\0\0\0WEBPVP8 \x18\0\0\0" + bytes(24),
    "noise": np.random.default_rng(2).bytes(5_000),
    "head": b"\xff\xd8\xff\xe0" + np.random.default_rng(3).bytes(5_000),
    "no size": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(99),
}


@pytest.mark.parametrize(
    ("suffix", "kind"), [*zip(["flac", "mp3", "ogg", "opus", "m4a"], BAD_PICTURES, strict=True)]
)
def test_a_song_is_separated_whatever_its_cover_is(suffix, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(separator, "load_networks", lambda work: low_and_high(work.scheme))
    (work,) = works_for("2stems", preset="seed")
    files = wanted_files(work.networks.stems, ["vocals"])
    job = Job(
        tagged(tmp_path, BAD_PICTURES[kind]), Destination(tmp_path / "out", suffix, "PCM_24"), files
    )
    made = run_job(job, separator.SongSeparator([work], MaskExtension.MEAN), lambda *_: None)
    assert made.state == "separated"
    (warning,) = made.warnings
    assert "is no JPEG or PNG picture of at most 16 MB that ffmpeg can read: the stems" in warning
    assert find_cover(Path(made.stems[0])) is None


@pytest.mark.parametrize(("codec", "mime"), [("png", b"image/jpeg"), ("mjpeg", b"image/png")])
def test_a_cover_is_what_it_begins_with(codec, mime, tmp_path):
    data = picture(tmp_path, codec).read_bytes()
    assert find_cover(tagged(tmp_path, data, mime)) == (codec, data)


def test_a_file_is_moved_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(cover, "MOVED_BYTES", 1_000)
    x = 0.1 * np.random.default_rng(1).standard_normal((9_000, 2))
    path = tmp_path / "noise.flac"
    soundfile.write(path, x, 44_100)
    before = soundfile.read(path)[0]
    data = picture(tmp_path, "mjpeg").read_bytes()
    insert_picture(path, Cover("mjpeg", data))
    np.testing.assert_array_equal(soundfile.read(path)[0], before)
    assert find_cover(path) == ("mjpeg", data)
