"""Writes the man pages beside this file, out of what `--help` says; `make man` runs it."""

from importlib.metadata import version
from pathlib import Path

from click_man.core import write_man_pages

from stemd.daemon.cli.commands import stemd as cli

HERE = Path(__file__).parent


def write(folder: Path) -> None:
    """Write a page for each command."""
    number = version("stemd")
    # The version stands for the date, so that the same source makes the same page.
    write_man_pages("stemd", cli, version=number, target_dir=str(folder), date=f"stemd {number}")


if __name__ == "__main__":
    for page in HERE.glob("*.1"):
        page.unlink()
    write(HERE)
