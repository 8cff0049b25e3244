"""Tables, and the place in a document where they belong."""

from collections.abc import Iterable, Sequence
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; all columns but the first are aligned to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in [head, rule, *rows])


def replace_section(path: Path, name: str, text: str) -> None:
    """Put text between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``.

    Raises
    ------
    ValueError
        If the document does not have each marker once, in this order; it is left as it was.
    """
    before, _, after = _split(path, name)
    path.write_text(f"{before}\n\n{text.strip()}\n\n{after}", encoding="utf-8")


def read_section(path: Path, name: str) -> str:
    """Return the text between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``.

    Raises
    ------
    ValueError
        As `replace_section`.
    """
    return _split(path, name)[1].strip()


def _split(path: Path, name: str) -> tuple[str, str, str]:
    """Return the document up to the first marker, the text between, and from the second one on."""
    document = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, found_begin, rest = document.partition(begin)
    between, found_end, after = rest.partition(end)
    if not (found_begin and found_end) or any(m in before + between + after for m in (begin, end)):
        raise ValueError(f"{path} must have {begin} and then {end}, each once")
    return before + begin, between, end + after
