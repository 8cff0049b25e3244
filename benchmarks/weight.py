"""Weighs the wheels and all that an installation of them brings along; `make weight` runs it.

Writes a table of docs/raspberry-pi.md. The packages are downloaded for each kind of processor and
weighed as they are unpacked, without the bytecode that pip adds.
"""

import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from benchmarks.report import DOCS, markdown_table, replace_section

WHEELS = DOCS.parent / "dist"

PROCESSORS = {"x86-64": "x86_64", "64-bit ARM": "aarch64"}

GLIBCS = (17, 24, 26, 27, 28, 31, 34)
"""Versions 2.N that wheels are made for and that Debian 12 has."""

NAMED = 1_000_000
"""Bytes from which a package has a row of its own."""


@dataclass(frozen=True)
class Weight:
    """Bytes of a package, or of several."""

    packed: int = 0
    unpacked: int = 0

    def __add__(self, other: "Weight") -> "Weight":
        return Weight(self.packed + other.packed, self.unpacked + other.unpacked)


def weigh(machine: str, python: str) -> dict[str, Weight]:
    """Return the weight of each package that pip installs with the wheel for a processor."""
    (wheel,) = WHEELS.glob(f"stemd-*_{machine}.whl")
    platforms = [f"--platform=manylinux_2_{glibc}_{machine}" for glibc in GLIBCS]
    with TemporaryDirectory() as folder:
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"),
                *(f"--python-version={python}", f"--platform=manylinux2014_{machine}", *platforms),
                *("--dest", folder, str(wheel)),
            ],
            check=True,
        )
        return {
            path.name.partition("-")[0].replace("_", "-"): _weight_of(path)
            for path in Path(folder).glob("*.whl")
        }


def _weight_of(wheel: Path) -> Weight:
    with ZipFile(wheel) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    return Weight(wheel.stat().st_size, unpacked)


def table(found: Mapping[str, Mapping[str, Weight]]) -> str:
    """Return the table: the heavy packages by their weight, the others together.

    Parameters
    ----------
    found : mapping of processor to mapping of package to Weight
    """
    names = {name for each in found.values() for name in each}
    largest = {
        name: max(each[name].unpacked for each in found.values() if name in each) for name in names
    }
    heavy = sorted((name for name in names if largest[name] >= NAMED), key=largest.__getitem__)
    light = names - {*heavy}
    groups = {
        **{name: {name} for name in reversed(heavy)},
        f"{len(light)} others": light,
        "all of it": names,
    }
    rows = [
        (label, *(cell for each in found.values() for cell in _cells(each, group)))
        for label, group in groups.items()
    ]
    head = [cell for processor in found for cell in (f"{processor}: download", "installed")]
    return markdown_table(["", *head], rows)


def _cells(found: Mapping[str, Weight], names: set[str]) -> tuple[str, str]:
    total = sum((found[name] for name in names if name in found), Weight())
    return f"{total.packed / 1e6:.1f} MB", f"{total.unpacked / 1e6:.1f} MB"


def main() -> None:
    """Weigh, and write the table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--print", action="store_true", help="write nothing")
    parser.add_argument("--python", default="3.11", help="the version of Python")
    given = parser.parse_args()
    text = table({name: weigh(machine, given.python) for name, machine in PROCESSORS.items()})
    print(text)
    if not given.print:
        replace_section(DOCS / "raspberry-pi.md", "weight", text)


if __name__ == "__main__":
    main()
