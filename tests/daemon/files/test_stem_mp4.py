"""A file for DJ programs: five streams in step with each other, and what the stems are called."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from songs import run_ffmpeg
from stemd.daemon.errors import ConfigError
from stemd.daemon.files.separate import stem_mp4_file
from stemd.daemon.files.stem_files import Destination, origin_of, writing_stems
from stemd.daemon.files.stem_mp4 import MANIFEST, add_manifest

STREAMS, SECONDS = 5, 3


def destination(folder: Path, **more) -> Destination:
    own = {"song": "01.wav, 99 bytes, 0", "settings": "exact", "file": "01", "template": "{file}"}
    return Destination(folder, "stem.mp4", **own | more)


def write(target: Destination, samplerate: int = 44_100) -> np.ndarray:
    """Clicks at other places in each stream, on a quiet tone."""
    frames = SECONDS * samplerate
    x = 0.05 * np.sin(np.arange(frames) / 20) * np.ones((2 * STREAMS, 1))
    for channel in range(2 * STREAMS):
        x[channel, frames // 2 + 997 * channel] = 0.9
    with writing_stems(target, ["stems"], samplerate, frames) as (file,):
        for start in range(0, frames, 10_000):
            file.write(x[:, start : start + 10_000].astype("f4"))
    return x


def stream(path: Path, number: int) -> np.ndarray:
    data = run_ffmpeg("-i", path, "-map", f"0:a:{number}", "-f", "f32le", "-ac", 2, "-")
    return np.frombuffer(data, "f4").reshape(-1, 2).T


def manifest(path: Path) -> dict:
    """By the steps of Mixxx: moov, udta and stem, each looked for in what is before it."""
    data = path.read_bytes()
    start, end = 0, len(data)
    for kind in (b"moov", b"udta", b"stem"):
        while data[start + 4 : start + 8] != kind:
            start += int.from_bytes(data[start : start + 4], "big")
            assert start < end, kind
        end = start + int.from_bytes(data[start : start + 4], "big")
        start += 8
    return json.loads(data[start:end].rstrip(b"\0"))


@pytest.mark.parametrize("tags", [{}, {"title": "A", "artist": "B"}])
def test_the_five_streams_are_whole_and_in_step(tags, tmp_path):
    x = write(destination(tmp_path, tags=tags))
    (path,) = tmp_path.iterdir()
    assert path.name == "01.stem.mp4"
    for number in range(STREAMS):
        y = stream(path, number)
        assert abs(y.shape[1] - x.shape[1]) <= 1024
        clicks = np.abs(y).argmax(axis=1)
        np.testing.assert_array_equal(clicks, np.abs(x[2 * number : 2 * number + 2]).argmax(axis=1))


def test_programs_play_the_mix_and_find_names_and_colours(tmp_path):
    write(destination(tmp_path, tags={"title": "A", "artist": "B"}))
    (path,) = tmp_path.iterdir()
    words = [
        "-show_entries",
        "stream=codec_name:stream_disposition=default:stream_tags",
        "-of",
        "json",
    ]
    words = ["ffprobe", "-v", "error", "-show_entries", "format_tags=title", *words, path]
    told = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
    assert [each["codec_name"] for each in told["streams"]] == STREAMS * ["aac"]
    assert [each["disposition"]["default"] for each in told["streams"]] == [1, 0, 0, 0, 0]
    names = ["Mix", "Drums", "Bass", "Other", "Vocals"]
    assert [each["tags"]["handler_name"] for each in told["streams"]] == names
    assert told["format"]["tags"]["title"] == "A"
    assert manifest(path) == MANIFEST
    assert [stem["name"] for stem in MANIFEST["stems"]] == names[1:]
    assert origin_of(path) == "01.wav, 99 bytes, 0; exact"


def test_a_file_without_an_index_at_its_end_is_an_error(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x08moov\0\0\0\x08free")
    with pytest.raises(OSError, match="ffmpeg wrote no index at the file's end"):
        add_manifest(tmp_path / "a.mp4")


def test_the_four_stems_of_the_format_are_made_of_four_and_of_five():
    four = ["vocals", "drums", "bass", "other"]
    assert stem_mp4_file("4stems", four) == {
        "stems": [four, ["drums"], ["bass"], ["other"], ["vocals"]]
    }
    five = [*four, "piano"]
    assert stem_mp4_file("5stems", five) == {
        "stems": [five, ["drums"], ["bass"], ["other", "piano"], ["vocals"]]
    }
    said = r"a stem.mp4 file holds drums, .* the 2stems networks separate .*: choose networks"
    with pytest.raises(ConfigError, match=said):
        stem_mp4_file("2stems", ["vocals", "accompaniment"])
