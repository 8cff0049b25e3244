"""Writes what was measured into the documents."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

LATENCY_MD = Path(__file__).parents[1] / "docs/latency.md"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; all columns but the first are aligned to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def replace_section(path: Path, name: str, text: str) -> None:
    """Put a text between the document's markers ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``.

    Raises
    ------
    ValueError
        If the document has not exactly one such pair.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    pattern = re.compile(f"({re.escape(begin)}\n).*?({re.escape(end)})", re.DOTALL)
    whole, found = pattern.subn(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", path.read_text())
    if found != 1:
        raise ValueError(f"{path} has {found} pairs of the markers {begin} and {end}, not one")
    path.write_text(whole)
