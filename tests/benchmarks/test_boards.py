"""The tables of boards are counted, not measured: the document has what the code counts now."""

from benchmarks import boards
from benchmarks.report import read_section


def test_the_document_has_the_tables():
    assert read_section(boards.DOCUMENT, boards.SECTION) == boards.tables()
