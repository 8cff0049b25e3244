"""Records of Protocol Buffers, as far as they are needed."""

import pytest

from stemd.tflite_models.spleeter.leveldb import MalformedError
from stemd.tflite_models.spleeter.protobuf import fields, message, number


def test_every_kind_of_field_is_read():
    record = b"\x08\x96\x01" + b"\x12\x02hi" + b"\x1d1234" + b"\x2112345678" + b"\x12\x00"
    assert list(fields(record)) == [(1, 150), (2, b"hi"), (3, b"1234"), (4, b"12345678"), (2, b"")]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"\x12\x03hi", "ends within a field"),
        (b"\x1d123", "ends within a field"),
        (b"\x211234567", "ends within a field"),
        (b"\x08", "ends within a number"),
        (b"\x0b", "a field of unknown kind 3"),
    ],
)
def test_a_malformed_record_is_refused(record, message):
    with pytest.raises(MalformedError, match=message):
        list(fields(record))


def test_a_value_of_the_other_kind_is_refused():
    assert (number(7), message(b"hi")) == (7, b"hi")
    with pytest.raises(MalformedError, match="text in place of a number"):
        number(b"hi")
    with pytest.raises(MalformedError, match="a number in place of a message"):
        message(7)
