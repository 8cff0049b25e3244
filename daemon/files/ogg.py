"""Looks at the end of an Ogg file, which says whether it is the end of the sound."""

import os
from pathlib import Path

from stemd.tflite_models.files import open_ordinary

_PAGE = b"OggS"
_FLAGS_AT, _SEGMENTS_AT, _HEADER = 5, 26, 27
_IS_LAST = 4

LONGEST_PAGE = 66_000
"""Bytes."""


def ends_early(path: Path) -> bool:
    """Whether an Ogg file ends before the end of its sound; false for other files."""
    with open_ordinary(path) as file:
        if file.read(len(_PAGE)) != _PAGE:
            return False
        length = os.fstat(file.fileno()).st_size
        file.seek(max(0, length - LONGEST_PAGE))
        tail = file.read(LONGEST_PAGE)
    page = tail[tail.rfind(_PAGE) :]
    if not page.startswith(_PAGE) or len(page) < _HEADER:
        return True
    segments = page[_SEGMENTS_AT]
    size = _HEADER + segments + sum(page[_HEADER : _HEADER + segments])
    return len(page) < size or not page[_FLAGS_AT] & _IS_LAST
