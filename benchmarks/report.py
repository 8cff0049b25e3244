"""Tables, and the place in a document where they belong."""

from collections.abc import Iterable, Sequence
from pathlib import Path


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def replace_between_markers(path: Path, name: str, text: str) -> None:
    """Put text between ``<!-- name:begin -->`` and ``<!-- name:end -->``.

    Raises
    ------
    ValueError
        If the document does not have each marker once, in this order; it is left as it was.
    """
    document = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, found_begin, rest = document.partition(begin)
    between, found_end, after = rest.partition(end)
    if not (found_begin and found_end) or any(m in before + between + after for m in (begin, end)):
        raise ValueError(f"{path} must have {begin} and then {end}, each once")
    path.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}", encoding="utf-8")
