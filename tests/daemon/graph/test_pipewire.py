"""What the process has mapped is looked through, whatever the files are called."""

import ctypes
import mmap
import os

import pytest

from stemd.daemon.graph.pipewire import _is_writable


@pytest.mark.parametrize("name", [b"\xff", "\u2028".encode(), b"a b"])
def test_what_may_be_written_is_told_beside_names_in_any_encoding(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(b"x" * mmap.PAGESIZE)
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as copy,
    ):
        writable = (ctypes.c_char * len(copy)).from_buffer(copy)
        assert _is_writable(ctypes.addressof(writable))
        del writable
    assert not _is_writable(0)
