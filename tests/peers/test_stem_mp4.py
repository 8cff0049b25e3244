"""A file for DJ programs, read by stempeg: five streams in step, with their names."""

import numpy as np
import pytest

from stemd.daemon.files.stem_files import Destination, writing_stems

stempeg = pytest.importorskip("stempeg")

RATE = 44_100


def test_stempeg_reads_the_mix_and_four_stems_with_their_names(tmp_path):
    x = np.zeros((10, 2 * RATE), np.float32)
    for number in range(5):  # a tone of another height in each stream
        tone = 0.1 * np.sin(np.arange(2 * RATE) * 2 * np.pi * 300 * (number + 1) / RATE)
        x[2 * number : 2 * number + 2] = tone
    destination = Destination(tmp_path, "stem.mp4", file="song", template="{file}")
    with writing_stems(destination, ["stems"], RATE, x.shape[1]) as (file,):
        file.write(x)
    path = str(tmp_path / "song.stem.mp4")
    streams, rate = stempeg.read_stems(path)
    assert (streams.shape[0], streams.shape[2], rate) == (5, 2, RATE)
    second = np.abs(np.fft.rfft(streams[:, RATE // 2 : RATE // 2 + RATE, 0]))
    assert list(second.argmax(axis=1)) == [300, 600, 900, 1200, 1500]
    assert stempeg.Info(path).title_streams == ["Mix", "Drums", "Bass", "Other", "Vocals"]
