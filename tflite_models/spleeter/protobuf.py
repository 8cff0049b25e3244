"""Records of Protocol Buffers, as far as the index of a checkpoint needs them.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

from stemd.tflite_models.spleeter.leveldb import MalformedError, read_varint


def fields(record: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a record as (number, value).

    Raises
    ------
    MalformedError
        The bytes are no record; so too in `number` and `message`.
    """
    position = 0
    while position < len(record):
        tag, position = read_varint(record, position)
        value, position = _field(record, position, tag & 7)
        yield tag >> 3, value


def _field(record: bytes, position: int, wire_type: int) -> tuple[int | bytes, int]:
    if wire_type == 0:
        return read_varint(record, position)
    if wire_type == 2:
        length, position = read_varint(record, position)
    elif wire_type in (1, 5):
        length = 8 if wire_type == 1 else 4
    else:
        raise MalformedError(f"has a record with a field of unknown kind {wire_type}")
    if position + length > len(record):
        raise MalformedError("has a record that ends within a field")
    return record[position : position + length], position + length


def number(value: int | bytes) -> int:
    """Take a field's value that must be a number."""
    if isinstance(value, bytes):
        raise MalformedError("has a record with text in place of a number")
    return value


def message(value: int | bytes) -> bytes:
    """Take a field's value that must be bytes: text or a record within the record."""
    if isinstance(value, int):
        raise MalformedError("has a record with a number in place of a message")
    return value
