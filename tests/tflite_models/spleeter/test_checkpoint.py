"""Checkpoints without TensorFlow: the numbers come back bit by bit, damage gets one clear line."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tiny_model as tiny
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.spleeter.checkpoint import Checkpoint
from stemd.tflite_models.spleeter.releases import DATA_FILE, INDEX_FILE, RELEASES


def write_index(folder: Path, records: dict[bytes, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / INDEX_FILE).write_bytes(tiny.table(sorted(records.items())))
    (folder / DATA_FILE).write_bytes(bytes(64))
    return folder


def test_every_variable_comes_back_exactly(checkpoint_dir):
    expected = tiny.variables()
    checkpoint = Checkpoint(checkpoint_dir)
    assert set(checkpoint) == set(expected)
    for name, array in expected.items():
        found = checkpoint.read(name, array.shape)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, array)


def test_the_size_of_the_weights_is_known_beforehand(checkpoint_dir):
    assert (checkpoint_dir / DATA_FILE).stat().st_size == tiny.ARCHITECTURE.checkpoint_bytes
    official = {name: each.architecture.checkpoint_bytes for name, each in RELEASES.items()}
    assert official == {"2stems": 78_614_072, "4stems": 157_228_144, "5stems": 196_535_180}


def test_a_variable_is_a_read_only_view(checkpoint_dir):
    assert not Checkpoint(checkpoint_dir).read("conv2d/bias", (2,)).flags.writeable


@pytest.mark.parametrize("missing", [INDEX_FILE, DATA_FILE])
def test_a_missing_file_is_named(tmp_path, checkpoint_dir, missing):
    folder = tiny.write_checkpoint(tmp_path, {"a": np.ones(1, np.float32)})
    (folder / missing).unlink()
    with pytest.raises(ModelError, match=rf"{missing}: No such file or directory; a checkpoint is"):
        Checkpoint(folder)


def test_empty_data_is_refused(tmp_path):
    write_index(tmp_path, {b"": tiny.HEADER})
    (tmp_path / DATA_FILE).write_bytes(b"")
    with pytest.raises(ModelError, match=rf"{DATA_FILE}: is empty; download the checkpoint again"):
        Checkpoint(tmp_path)


def test_short_data_is_refused(tmp_path):
    folder = tiny.write_checkpoint(tmp_path, {"a": np.ones(8, np.float32)})
    (folder / DATA_FILE).write_bytes(bytes(31))
    with pytest.raises(ModelError, match=r"is 31 bytes long, but a lies at 0 to 32; download the"):
        Checkpoint(folder).read("a", (8,))


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("b", (8,), "has no variable b; is it another model"),
        ("a", (4, 2), r"a has type 1 and shape \(8,\), expected 1 \(float32\) and \(4, 2\)"),
        ("steps", (), r"steps has type 9 and shape \(\), expected 1 \(float32\) and \(\)"),
    ],
)
def test_another_model_is_refused(tmp_path, name, shape, message):
    records = {
        b"": tiny.HEADER,
        b"a": tiny.entry(np.ones(8, np.float32), 0),
        b"steps": tiny.entry(np.array(1, np.int64), 32, dtype=9),
    }
    with pytest.raises(ModelError, match=message):
        Checkpoint(write_index(tmp_path, records)).read(name, shape)


@pytest.mark.parametrize("header", [b"\x08\x02", b"\x08\x01\x10\x01", b""])
def test_shards_and_big_endian_are_refused(tmp_path, header):
    with pytest.raises(ModelError, match="is not a little-endian checkpoint in one part"):
        Checkpoint(write_index(tmp_path, {b"": header}))


def test_a_name_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(ModelError, match="has a variable whose name is no text"):
        Checkpoint(write_index(tmp_path, {b"": tiny.HEADER, b"\xff": b""}))


def test_a_damaged_index_says_what_and_what_to_do(tmp_path):
    write_index(tmp_path, {b"": tiny.HEADER})
    (tmp_path / INDEX_FILE).write_bytes(b"<html>not found</html>")
    with pytest.raises(
        ModelError, match=r"model.index: does not end as .* download the checkpoint again"
    ):
        Checkpoint(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.binary(max_size=8), record=st.binary(max_size=60))
def test_a_record_of_anything_is_read_or_refused(tmp_path, name, record):
    folder = write_index(tmp_path, {b"": tiny.HEADER} | {name: record})
    try:
        checkpoint = Checkpoint(folder)
        for each in checkpoint:
            checkpoint.read(each, (1,))
    except ModelError:
        pass


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(data=st.data())
def test_a_damaged_index_is_refused_or_changes_nothing(tmp_path, checkpoint_dir, data):
    table = bytearray((checkpoint_dir / INDEX_FILE).read_bytes())
    for bit in data.draw(st.lists(st.integers(0, 8 * len(table) - 1), min_size=1, max_size=3)):
        table[bit // 8] ^= 1 << bit % 8
    length = data.draw(st.integers(0, len(table)) | st.just(len(table)))
    write_index(tmp_path, {b"": tiny.HEADER})
    (tmp_path / INDEX_FILE).write_bytes(table[:length])
    with contextlib.suppress(ModelError):
        assert set(Checkpoint(tmp_path)) == set(tiny.variables())
