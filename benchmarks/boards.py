"""Estimate what small boards can hold, by counting; `make boards` runs it.

Writes tables of docs/raspberry-pi.md.
"""

from argparse import ArgumentParser

from benchmarks.report import DOCS, markdown_table, replace_section
from stemd.daemon.capacity.estimate import BOARDS, expected_load
from stemd.daemon.capacity.profiles import choose_profile
from stemd.daemon.presets import PRESETS
from stemd.daemon.work import AUTO, SetOfNetworks, Work
from stemd.tflite_models.graphs.spec import StreamingPrecision

DOCUMENT, SECTION = DOCS / "raspberry-pi.md", "boards"

TWO = SetOfNetworks("2stems", ("vocals", "accompaniment"))
FOUR = SetOfNetworks("4stems", ("vocals", "drums", "bass", "other"))

PRECISIONS: tuple[StreamingPrecision, ...] = ("int8", "mixed")

NAMES = tuple(name for name in reversed(PRESETS) if name != "auto")


def counts() -> str:
    """Return the table of what one network does for a block in int8."""
    rows = []
    for name in NAMES:
        scheme = PRESETS[name][-1]
        int8, mixed = (Work(scheme, TWO, precision).cost for precision in PRECISIONS)
        block_s = scheme.block_s
        moved = int8.weights + int8.activations
        rows.append(
            [
                f"`{name}`",
                f"{1000 * block_s:.0f} ms",
                f"{int8.macs / 1e6:.0f} million",
                f"{mixed.macs_float / 1e6:.0f} million",
                f"{int8.weights / 1e6:.0f} MB",
                f"{int8.activations / 1e6:.0f} MB",
                f"{int8.macs / 1e9 / block_s:.1f} GMAC/s",
                f"{moved / 1e9 / block_s:.2f} GB/s",
            ]
        )
    head = ["preset", "block", "MACs", "float in `mixed`", "weights", "activations"]
    return markdown_table([*head, "multiplied", "moved"], rows)


def loads() -> str:
    """Return the table of loads: two networks in int8, and one, with all cores at work."""
    rows = []
    for name in NAMES:
        scheme = PRESETS[name][-1]
        for residual in (False, True):
            work = Work(scheme, TWO, "int8", 4 if residual else 2, residual)
            rows.append(
                [
                    f"`{name}`",
                    work.running,
                    *(f"{expected_load(work, board):.0%}" for board in BOARDS),
                ]
            )
    head = ["preset", "networks", *(board.name for board in BOARDS)]
    return markdown_table(head, rows)


def profiles() -> str:
    """Return the table of what `profile: auto` chooses."""
    rows = []
    for board in BOARDS:
        for sets in ([TWO], [FOUR, TWO]):
            profile = choose_profile(board, sets)
            chosen, precision = profile.settings, profile.precision
            rest = ", `residual`" if chosen["residual"] else ""
            rows.append(
                [
                    board.name,
                    f"{board.memory_mb} MB",
                    "yes" if FOUR in sets else "no",
                    f"`{chosen['networks']}`{rest}",
                    f"`{chosen['preset']}`",
                    f"`{precision}`" if chosen["precision"] != AUTO else f"auto (`{precision}`)",
                    f"{chosen['threads']}",
                ]
            )
    head = ["board", "memory", "4 stems installed", "networks", "preset", "precision", "threads"]
    return markdown_table(head, rows)


def tables() -> str:
    """Return the text of the section."""
    parts = (
        loads(),
        "What `profile: auto` chooses (in parentheses: what `precision: auto` is expected to be):",
        profiles(),
        "What one network does for a block in `int8`:",
        counts(),
    )
    return "\n\n".join(parts)


def main() -> None:
    """Count, and write the tables."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--print", action="store_true", help="write nothing")
    given = parser.parse_args()
    text = tables()
    print(text)
    if not given.print:
        replace_section(DOCUMENT, SECTION, text)


if __name__ == "__main__":
    main()
