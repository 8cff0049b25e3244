"""Recordings: whole, bit for bit, in step with one another, also where the disk gets full."""

import ctypes
import json
import logging
import os
import re
import subprocess
import sys
from datetime import datetime
from errno import ENOSPC
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile

import small_disk
from fake_graph import FakeGraph
from stemd.daemon.engine import tape as tape_module
from stemd.daemon.engine.realtime import RealtimeSide
from stemd.daemon.engine.tape import Tape
from stemd.daemon.errors import StemdError
from stemd.daemon.recording import recorder as recorder_module
from stemd.daemon.recording import take as take_module
from stemd.daemon.recording.recorder import Recorder
from stemd.daemon.recording.take import Take
from stemd.daemon.recording.task import Source, Wishes
from waiting import PATIENCE_S, wait_until

RATE, DELAY = 8_000, 700
SOURCE = Source(("vocals", "accompaniment"), RATE, DELAY, before_faders=False)
FILES = ("input", "vocals", "accompaniment")


class Concert:
    """A client without a server whose input is played, and whose outputs say nothing."""

    def __init__(self, folder: Path, **wishes) -> None:
        self.rt, self.graph = RealtimeSide(2, 4, RATE), FakeGraph(RATE)
        self.graph.bind(self.rt.callbacks, ["i0", "i1"], ["o0", "o1", "o2", "o3"])
        self.tape = Tape(2, range(4), RATE)
        self.ended = False
        self.recorder = Recorder(Wishes(folder, **wishes), SOURCE, self.tape, self._end)
        self.played = 0
        self.random = np.random.default_rng(3)
        self.rt.tape(self.tape)
        self.recorder.start()

    def _end(self) -> None:
        self.ended = True

    def begin(self) -> "Concert":
        self.recorder.begun.result(PATIENCE_S)
        return self

    def play(self, frames: int, level: float = 0.5, period: int = 200) -> np.ndarray:
        """Play noise, and return it once it was read."""
        music = (level * self.random.uniform(-1, 1, (2, frames))).astype("f4")
        for start in range(0, frames, period):
            self.graph.cycle(music[:, start : start + period])
        return music

    def stop(self) -> Path:
        self.rt.tape(None)
        self.recorder.stop()
        folder = self.recorder.ended.result(PATIENCE_S).folder
        assert folder
        return folder


def sound(path: Path) -> np.ndarray:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert rate == RATE
    return samples.T


def test_the_files_have_what_was_heard_bit_for_bit(tmp_path):
    concert = Concert(tmp_path / "new" / "takes", align=False).begin()
    music = concert.play(50_000)
    folder = concert.stop()
    assert folder.parent == tmp_path / "new" / "takes"
    assert {path.name for path in folder.iterdir()} == {f"{name}.wav" for name in FILES}
    np.testing.assert_array_equal(sound(folder / "input.wav"), music)
    assert sound(folder / "vocals.wav").shape == music.shape
    assert not concert.ended


def test_the_inputs_file_is_later_by_the_delay(tmp_path):
    concert = Concert(tmp_path).begin()
    music = concert.play(10_000)
    got = sound(concert.stop() / "input.wav")
    assert not got[:, :DELAY].any()
    np.testing.assert_array_equal(got[:, DELAY:], music[:, :-DELAY])


def test_flac_is_as_exact_as_its_bits_and_what_it_clips_is_said(tmp_path, caplog):
    concert = Concert(tmp_path, format="flac", align=False).begin()
    music = concert.play(9_000, level=0.9)
    got = sound(concert.stop() / "input.flac")
    np.testing.assert_allclose(got, music, atol=2**-23)
    assert "clipped" not in caplog.text
    concert = Concert(tmp_path, format="flac", align=False).begin()
    concert.play(9_000, level=2)
    assert np.abs(sound(concert.stop() / "input.flac")).max() <= 1
    assert re.search(r"\d+ samples were beyond full scale", caplog.text)


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_names_and_time_are_in_the_files(tmp_path, kind):
    concert = Concert(tmp_path, format=kind).begin()
    concert.play(100)
    folder = concert.stop()
    for name in FILES:
        with soundfile.SoundFile(folder / f"{name}.{kind}") as file:
            assert file.title == name
            assert file.software.startswith("stemd ")
            assert "a delay of 700 frames, in the input's file too" in file.comment
            began = datetime.fromisoformat(file.date)
    assert abs((datetime.now().astimezone() - began).total_seconds()) < 60
    assert folder.name.startswith(f"{began:%Y-%m-%d %H.%M.%S}")


def test_takes_of_the_same_second_have_folders_of_their_own(tmp_path):
    folders = set()
    for _ in range(3):
        concert = Concert(tmp_path).begin()
        concert.play(100)
        folders.add(concert.stop())
    assert len(folders) == 3


def test_a_take_without_a_frame_leaves_nothing(tmp_path):
    concert = Concert(tmp_path).begin()
    concert.rt.tape(None)
    concert.recorder.stop()
    concert.recorder.ended.result(PATIENCE_S)
    assert not [*tmp_path.iterdir()]


def test_by_itself_it_begins_with_sound_and_ends_after_silence(tmp_path):
    concert = Concert(tmp_path, auto=True, align=False, silence_s=2).begin()
    concert.play(3 * RATE, level=0)
    music = []
    for number in (1, 2):
        music.append(concert.play(2 * RATE, level=0.2))
        wait_until(lambda: concert.recorder.progress.is_taking)
        concert.play(RATE, level=0)  # a rest
        concert.play(RATE, level=0.2)
        concert.play(3 * RATE, level=0.0005)
        wait_until(lambda: not concert.recorder.progress.is_taking)
        assert len([*tmp_path.iterdir()]) == number
    concert.stop()
    for folder, part in zip(sorted(tmp_path.iterdir()), music, strict=True):
        got = sound(folder / "input.wav")
        began = np.flatnonzero(np.abs(got[0]) > 0.001)[0]
        assert 0 < began <= recorder_module.BEFORE_S * RATE + recorder_module.BLOCK
        at = np.flatnonzero(np.abs(part[0]) > 0.001)[0]
        np.testing.assert_array_equal(got[:, began : began + RATE], part[:, at : at + RATE])
        # The silence is counted from the end of a block, to the end of one.
        assert 6 * RATE <= got.shape[1] - began <= 6 * RATE + 2 * recorder_module.BLOCK


def test_without_sound_there_is_no_take(tmp_path):
    concert = Concert(tmp_path, auto=True).begin()
    concert.play(3 * RATE, level=0)
    concert.rt.tape(None)
    concert.recorder.stop()
    assert concert.recorder.ended.result(PATIENCE_S).folder is None
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    concert = Concert(tmp_path / "file" / "takes")
    with pytest.raises(StemdError, match=r"cannot record into .*/file/takes: Not a directory"):
        concert.recorder.begun.result(PATIENCE_S)
    assert "Not a directory" in concert.recorder.ended.result(PATIENCE_S).trouble
    wait_until(lambda: concert.ended)


def test_the_files_are_whole_all_the_time(tmp_path):
    """A copy stands for what is there after a power cut."""
    concert = Concert(tmp_path / "takes").begin()
    concert.play(3 * RATE)
    wait_until(lambda: concert.recorder.progress.frames == 3 * RATE)
    folder = concert.recorder.progress.folder
    for name in FILES:
        copy = tmp_path / f"{name}.wav"
        copy.write_bytes((folder / f"{name}.wav").read_bytes())
        assert sound(copy).shape[1] >= 2 * RATE
    concert.stop()
    assert sound(folder / "input.wav").shape[1] == 3 * RATE


def test_what_is_lost_is_counted_and_said(tmp_path, monkeypatch, caplog):
    write = Take.write

    def slowly(take, block):
        while concert.played < 100_000:
            concert.play(1000)
            concert.played += 1000
        write(take, block)

    monkeypatch.setattr(tape_module, "TAPE_S", 1.0)
    monkeypatch.setattr(Take, "write", slowly)
    concert = Concert(tmp_path, align=False).begin()
    with caplog.at_level(logging.WARNING):
        concert.play(1000)
        wait_until(lambda: concert.played == 100_000)
        folder = concert.stop()
    assert sound(folder / "input.wav").shape[1] == 101_000
    assert concert.recorder.lost_frames > 80_000
    assert "frames could not be written in time, and are silent" in caplog.text


def make_hole(descriptor: int, start: int, length: int) -> None:
    """Give the disk back what a file has there, which is zeros from now on."""
    keep_size, punch_hole = 1, 2
    whole = [ctypes.c_int64(each) for each in (start, length)]
    assert ctypes.CDLL(None).fallocate(descriptor, keep_size | punch_hole, *whole) == 0


def test_wav_becomes_rf64_where_it_is_too_long_for_wav(tmp_path):
    much = np.zeros((1 << 23, 2), np.float32)
    for blocks, head in ((0, b"RIFF"), (65, b"RF64")):
        take = Take(tmp_path, "wav", SOURCE.stems, RATE, "a note")
        raw, sound = take._files[0]
        for number in range(blocks):
            sound.write(much)
            make_hole(raw, 4096 + number * much.nbytes, much.nbytes - 8192)
        take.write(np.ones((6, 1000), np.float32))
        take.update()
        take.close()
        path = take.folder / "input.wav"
        with path.open("rb") as file:
            assert file.read(4) == head
        assert soundfile.info(path).frames == 1000 + blocks * len(much)
        with soundfile.SoundFile(path) as sound:
            assert sound.title == "input"


FULL = """
import json
import numpy as np
import soundfile
from stemd.daemon.recording.take import Take

limit(int(sys.argv[3]))
take = Take(folder / "takes", sys.argv[2], ("vocals", "accompaniment"), 48_000, "a note")
random = np.random.default_rng(5)
blocks = []
try:
    while True:
        blocks.append(random.uniform(-1, 1, (6, 4096)).astype("f4"))
        take.write(blocks[-1])
except OSError as error:
    errno = error.errno
take.close()
whole = np.concatenate(blocks, axis=1)
frames, exact = [], []
for number, name in enumerate(("input", "vocals", "accompaniment")):
    got, _ = soundfile.read(take.folder / f"{name}.{sys.argv[2]}", dtype="float32")
    frames.append(len(got))
    exact.append(float(np.abs(got.T - whole[2 * number:][:2, :len(got)]).max()))
left = sorted(path.name for path in take.folder.iterdir())
print(json.dumps([take.frames, frames, exact, left, errno]))
"""


@pytest.mark.parametrize(("kind", "error"), [("wav", 0), ("flac", 2**-23)])
def test_where_the_disk_gets_full_all_until_then_is_whole(tmp_path, kind, error):
    said = small_disk.run(tmp_path / "disk", FULL, kind, str(16 << 10))
    taken, frames, exact, left, number = json.loads(said)
    assert number in recorder_module.FULL
    assert frames == [taken] * 3
    assert max(exact) <= error
    assert left == sorted(f"{name}.{kind}" for name in FILES)


def test_a_full_disk_ends_the_recording_and_says_so(tmp_path, monkeypatch, caplog):
    concert = Concert(tmp_path).begin()
    concert.play(100)
    wait_until(lambda: concert.recorder.progress.frames == 100)
    error = OSError(ENOSPC, os.strerror(ENOSPC))
    monkeypatch.setattr(take_module, "make_room", Mock(side_effect=[None, error]))
    concert.play(1000)
    ended = concert.recorder.ended.result(PATIENCE_S)
    assert "is full: the recording has ended, and all until then is there" in ended.trouble
    assert ended.trouble in caplog.text
    wait_until(lambda: concert.ended)
    lengths = {sound(ended.folder / f"{name}.wav").shape[1] for name in FILES}
    assert lengths == {ended.frames}


CONFINED = """
import ctypes, sys
from pathlib import Path
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0):
    raise SystemExit(77)
import numpy as np
from stemd.daemon.recording.take import Take
take = Take(Path(sys.argv[1]), sys.argv[2], ("vocals",), 48_000, "a note")
take.write(np.ones((4, 100), np.float32))
take.update()
take.close()
"""


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_service_that_may_make_no_code_may_record(tmp_path, kind):
    """As MemoryDenyWriteExecute of the system-wide service has it."""
    command = [sys.executable, "-c", CONFINED, str(tmp_path), kind]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("this kernel confines no process in that way")
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.iterdir()
    assert soundfile.info(folder / f"vocals.{kind}").frames == 100
