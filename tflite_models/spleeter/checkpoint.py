"""Checkpoints of TensorFlow ("tensor bundles"), read without TensorFlow.

Two files: `model.index`, a LevelDB table of protocol-buffer records, says where in
`model.data-00000-of-00001` each variable lies. Sources: TensorFlow's
`core/protobuf/tensor_bundle.proto` and `core/util/tensor_bundle/tensor_bundle.h`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.files import read_ordinary
from stemd.tflite_models.spleeter.leveldb import MalformedError, read_table
from stemd.tflite_models.spleeter.protobuf import fields, message, number
from stemd.tflite_models.spleeter.releases import DATA_FILE, INDEX_FILE
from stemd.tflite_models.spleeter.unet import FloatArray

MOST_INDEX_BYTES = 1 << 24
"""Of the index; the official ones have some thousand."""

_FLOAT32 = 1  # DT_FLOAT of types.proto


@dataclass(frozen=True)
class _Header:
    shards: int = 0
    endianness: int = 0


@dataclass(frozen=True)
class _Entry:
    dtype: int
    shape: tuple[int, ...]
    offset: int
    size: int


class Checkpoint:
    """The variables of a checkpoint.

    Parameters
    ----------
    folder : Path
        Where `model.index` and `model.data-00000-of-00001` lie.
    origin : str, optional
        What the user knows the folder as, for example the archive it was unpacked from; messages
        name it instead.

    Raises
    ------
    ModelError
        A file cannot be read, or is no undamaged, little-endian checkpoint in one part.
    """

    def __init__(self, folder: Path, origin: str | None = None) -> None:
        self._index = f"{origin or folder}/{INDEX_FILE}"
        self._data = f"{origin or folder}/{DATA_FILE}"
        try:
            self._entries = _read_index(read_ordinary(folder / INDEX_FILE, MOST_INDEX_BYTES))
            self._bytes = np.memmap(folder / DATA_FILE, np.uint8, "r")
        except MalformedError as error:
            raise ModelError(f"{self._index}: {error}; download the checkpoint again") from error
        except OSError as error:
            raise ModelError(
                f"{error.filename}: {error.strerror}; a checkpoint is a folder with "
                f"{INDEX_FILE} and {DATA_FILE}"
            ) from error
        except ValueError as error:  # a file of length zero cannot be mapped
            raise ModelError(f"{self._data}: is empty; download the checkpoint again") from error

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def read(self, name: str, shape: tuple[int, ...]) -> FloatArray:
        """Return a variable as a read-only view of the mapped file.

        Parameters
        ----------
        name : str
            As in the checkpoint, for example `conv2d_1/kernel`.
        shape : tuple of int
            The shape it must have.

        Raises
        ------
        ModelError
            It is missing, has another shape or type, or lies outside the data.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise ModelError(f"{self._index}: has no variable {name}; is it another model?")
        if entry.dtype != _FLOAT32 or entry.shape != shape:
            raise ModelError(
                f"{self._index}: {name} has type {entry.dtype} and shape {entry.shape}, "
                f"expected {_FLOAT32} (float32) and {shape}; is it another model?"
            )
        end = entry.offset + entry.size
        if entry.size != 4 * math.prod(shape) or end > len(self._bytes):
            raise ModelError(
                f"{self._data}: is {len(self._bytes)} bytes long, but {name} lies at "
                f"{entry.offset} to {end}; download the checkpoint again"
            )
        return self._bytes[entry.offset : end].view("<f4").reshape(shape)


def _read_index(table: bytes) -> dict[str, _Entry]:
    records = read_table(table)
    header = _read_header(records.pop(b"", b""))
    if header != _Header(shards=1):
        raise MalformedError(f"is not a little-endian checkpoint in one part ({header})")
    return {_text(name): _read_entry(record) for name, record in records.items()}


def _read_header(record: bytes) -> _Header:
    values = dict(fields(record))
    return _Header(number(values.get(1, 0)), number(values.get(2, 0)))


def _read_entry(record: bytes) -> _Entry:
    values = dict(fields(record))
    return _Entry(
        dtype=number(values.get(1, 0)),
        shape=_read_shape(message(values.get(2, b""))),
        offset=number(values.get(4, 0)),
        size=number(values.get(5, 0)),
    )


def _read_shape(record: bytes) -> tuple[int, ...]:
    dimensions = (message(value) for field, value in fields(record) if field == 2)
    return tuple(number(dict(fields(each)).get(1, 0)) for each in dimensions)


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise MalformedError("has a variable whose name is no text") from error
