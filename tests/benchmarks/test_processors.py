"""Estimates agree with what was measured on each processor."""

import pytest

from benchmarks.lesser_cpu import PROCESSORS
from benchmarks.processors import DOCUMENT, PRECISIONS, SCHEMES, SECTION, fitted, read_tables
from benchmarks.report import read_section
from stemd.daemon.capacity.estimate import MEASURED, Board, Core, expected_block_s

CELLS = [*read_tables(read_section(DOCUMENT, SECTION))]


def board(name: str) -> Board:
    """One core: a network is alone on it."""
    return Board(name, Core(name, **MEASURED["cores"][name], memory=20), 1, 8192)


def test_every_processor_has_a_whole_table():
    assert len(CELLS) == len(PROCESSORS) * len(SCHEMES) * len(PRECISIONS)
    assert {name for name, *_ in CELLS} == PROCESSORS.keys() == MEASURED["cores"].keys()


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_estimate_is_near_what_was_measured(name):
    """Of 21 cells, one may have met a busy machine."""
    factors = sorted(
        max(ratio, 1 / ratio)
        for ratio in (
            expected_block_s(work, board(name)) / work.running / seconds
            for processor, work, seconds in CELLS
            if processor == name
        )
    )
    assert factors[-2] < 1.3
    assert factors[-1] < 1.4


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_speeds_are_those_that_fit_best(name):
    cells = [(work, seconds) for processor, work, seconds in CELLS if processor == name]
    assert fitted(cells) == pytest.approx(MEASURED["cores"][name], rel=0.01)
