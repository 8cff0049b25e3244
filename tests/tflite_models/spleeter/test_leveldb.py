"""Tables of LevelDB: what was written comes back, what was damaged is refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_model as tiny
from stemd.tflite_models.spleeter.leveldb import (
    MalformedError,
    masked_crc32c,
    read_table,
    read_varint,
)

RECORDS = st.dictionaries(st.binary(max_size=12), st.binary(max_size=40), max_size=30)


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        # RFC 3720, B.4, and the check value of every catalogue of CRCs
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"123456789", 0xE3069283),
    ],
)
def test_checksum_is_crc32c_masked(data, crc):
    masked = masked_crc32c(data)
    unrotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
    assert (unrotated << 15 | unrotated >> 17) & 0xFFFFFFFF == crc


@given(records=RECORDS, block_bytes=st.integers(1, 300))
def test_entries_come_back_from_any_number_of_blocks(records, block_bytes):
    assert read_table(tiny.table(sorted(records.items()), block_bytes)) == records


@given(records=RECORDS, data=st.data())
def test_a_flipped_bit_is_refused_or_changes_nothing(records, data):
    table = bytearray(tiny.table(sorted(records.items()), 100))
    bit = data.draw(st.integers(0, 8 * len(table) - 1))
    table[bit // 8] ^= 1 << bit % 8
    with suppress(MalformedError):
        assert read_table(bytes(table)) == records  # a bit of the footer's padding


@given(records=RECORDS, data=st.data())
def test_a_truncated_table_is_refused(records, data):
    table = tiny.table(sorted(records.items()), 100)
    with pytest.raises(MalformedError):
        read_table(table[: data.draw(st.integers(0, len(table) - 1))])


def table_of_one_block(content, kind=0):
    data = tiny.sealed(content, kind)
    index = tiny.block([(b"z", bytes([0, len(content)]))])
    footer = bytes([0, 0, len(data), len(index)]).ljust(40, b"\0")
    return data + tiny.sealed(index) + footer + tiny.MAGIC


@given(content=st.binary(max_size=80))
def test_a_block_of_anything_is_read_or_refused(content):
    """Checksums are right here, so that the parser itself has to stand it."""
    with suppress(MalformedError):
        read_table(table_of_one_block(content))


NO_RESTARTS = bytes(4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\5\1key" + NO_RESTARTS, "an entry that leaves its block"),
        (b"\0\1\5kv" + NO_RESTARTS, "an entry that leaves its block"),
        (b"\1\1\1kv" + NO_RESTARTS, "an entry that leaves its block"),
        (b"\0\0" + NO_RESTARTS, "an entry that leaves its block"),
        (b"\0\1\1kv\2\0\0\0", "entries and restarts do not fill it"),
        (b"", "entries and restarts do not fill it"),
    ],
)
def test_a_malformed_block_is_refused(content, message):
    with pytest.raises(MalformedError, match=message):
        read_table(table_of_one_block(content))


def test_a_compressed_block_is_refused_by_name():
    with pytest.raises(MalformedError, match=r"has a compressed block at 0 \(type 1\)"):
        read_table(table_of_one_block(tiny.block([(b"a", b"b")]), kind=1))


@pytest.mark.parametrize(
    ("encoded", "number"),
    [(b"\0", 0), (b"\x7f", 127), (b"\xac\x02", 300), (b"\xff" * 9 + b"\x01", 2**64 - 1)],
)
def test_varint(encoded, number):
    assert read_varint(b"#" + encoded + b"#", 1) == (number, 1 + len(encoded))


@pytest.mark.parametrize(
    ("encoded", "message"), [(b"\x80", "ends within a number"), (b"\xff" * 10 + b"\x01", "64 bits")]
)
def test_varint_refuses(encoded, message):
    with pytest.raises(MalformedError, match=message):
        read_varint(encoded, 0)
