"""Tables of LevelDB, the format in which TensorFlow keeps the index of a checkpoint.

Sources: LevelDB's `doc/table_format.md`; RFC 3720, appendix B.4, for CRC-32C.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

MAGIC = bytes.fromhex("57fb808b247547db")
FOOTER_BYTES = 48
TRAILER_BYTES = 5  # compression type and checksum after each block
UNCOMPRESSED = 0


class MalformedError(ValueError):
    """Bytes that break the rules of their format; callers name the file and the remedy."""


def read_table(table: bytes) -> dict[bytes, bytes]:
    """Read all entries of a table, checking the checksum of each block.

    Parameters
    ----------
    table : bytes
        The whole file.

    Raises
    ------
    MalformedError
        The bytes are no uncompressed, undamaged table.
    """
    if len(table) < FOOTER_BYTES or not table.endswith(MAGIC):
        raise MalformedError("does not end as a LevelDB table does")
    footer = table[-FOOTER_BYTES:]
    _, after_metaindex = _handle(footer, 0)
    (offset, size), _ = _handle(footer, after_metaindex)
    entries: dict[bytes, bytes] = {}
    for _, value in _entries(_block(table, offset, size)):
        entries.update(_entries(_block(table, *_handle(value, 0)[0])))
    return entries


def read_varint(buffer: bytes, position: int) -> tuple[int, int]:
    """Read a base-128 number of at most 64 bits; give it and the position after it.

    Raises
    ------
    MalformedError
        The buffer ends within the number, or the number is longer than 64 bits.
    """
    number = 0
    for shift in range(0, 70, 7):
        if position >= len(buffer):
            raise MalformedError("ends within a number")
        byte = buffer[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise MalformedError("holds a number of more than 64 bits")


def _handle(buffer: bytes, position: int) -> tuple[tuple[int, int], int]:
    """Read a block's (offset, size) and the position after them."""
    offset, position = read_varint(buffer, position)
    size, position = read_varint(buffer, position)
    return (offset, size), position


def _block(table: bytes, offset: int, size: int) -> bytes:
    end = offset + size
    if end + TRAILER_BYTES > len(table) - FOOTER_BYTES:
        raise MalformedError(f"is {len(table)} bytes long, too short for its block at {offset}")
    if table[end] != UNCOMPRESSED:
        raise MalformedError(f"has a compressed block at {offset} (type {table[end]})")
    stored = int.from_bytes(table[end + 1 : end + TRAILER_BYTES], "little")
    if masked_crc32c(table[offset : end + 1]) != stored:
        raise MalformedError(f"is damaged: checksum of the block at {offset} is wrong")
    return table[offset:end]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the (key, value) pairs of a block; keys share a prefix with the one before."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    key, position = b"", 0
    while position < end:
        shared, position = read_varint(block, position)
        unshared, position = read_varint(block, position)
        length, position = read_varint(block, position)
        if shared > len(key) or position + unshared + length > end:
            raise MalformedError("has an entry that leaves its block")
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        yield key, block[position : position + length]
        position += length
    if position != end:
        raise MalformedError("has a block whose entries and restarts do not fill it")


def masked_crc32c(data: bytes) -> int:
    """CRC-32C of the data, rotated and shifted as LevelDB stores it."""
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _crc_table() -> tuple[int, ...]:
    return tuple(_crc_of_byte(byte) for byte in range(256))


def _crc_of_byte(crc: int) -> int:
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc
