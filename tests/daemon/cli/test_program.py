"""Commands of stemd's in messages are what the user has to type."""

import sys

import pytest

from stemd.daemon.cli import program
from stemd.daemon.cli.program import as_typed

TEXT = (
    "`stemd doctor` has the remedy (stemd -v run --server dummy); another stemd runs, as stemd.conf"
)


@pytest.fixture(autouse=True)
def _anew():
    program._program.cache_clear()
    yield
    program._program.cache_clear()


@pytest.mark.parametrize("started", [".venv/bin/stemd", "/a folder/bin/stemd"])
def test_what_the_shell_does_not_find_has_its_path(monkeypatch, started):
    monkeypatch.setattr(program, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", [started, "status"])
    typed = f"'{started}'" if " " in started else started
    assert as_typed(TEXT) == (
        f"`{typed} doctor` has the remedy ({typed} -v run --server dummy); another stemd runs, as "
        "stemd.conf"
    )
    assert as_typed("/usr/bin/stemd run") == "/usr/bin/stemd run"


@pytest.mark.parametrize(("found", "started"), [("/usr/bin/stemd", "x/stemd"), (None, "-c")])
def test_elsewhere_it_is_called_by_its_name(monkeypatch, found, started):
    monkeypatch.setattr(program, "which", lambda name: found)
    monkeypatch.setattr(sys, "argv", [started, "status"])
    assert as_typed(TEXT) == TEXT
