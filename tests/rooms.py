"""Which room imports which, read from the source; `make rooms` prints it."""

import ast
from collections import defaultdict
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("daemon", "dsp", "tflite_models")

OWN = {
    "daemon.config",
    "daemon.config_file",
    "tflite_models.families",
    "tflite_models.family",
    "tflite_models.kept",
    "tflite_models.network",
    "tflite_models.runtime",
}
"""Modules beside the rooms that stand on a floor of their own; all others there are the lowest."""


@cache
def sources(package: str) -> list[Path]:
    """Its files."""
    return sorted((ROOT / package).rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    """What a file says; several tests ask for it."""
    return ast.parse(path.read_text())


@cache
def mentioned(path: Path) -> set[str]:
    """Modules that a file imports, also late or by `import_module`, and what it takes from them."""
    names = set()
    for node in ast.walk(parsed(path)):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=module, level=level, names=aliases):
                assert level == 0, f"{path}: relative import"
                names |= {f"{module}.{alias.name}" for alias in aliases}
            case ast.Call(args=[ast.Constant(value=str(module)), *_]) if (
                "import_module" in ast.unparse(node.func)
            ):
                names.add(module)
    return names


def room_of(name: str) -> str:
    """Return the room of something that is imported, or of a module, without the leading stemd."""
    parts = name.removeprefix("stemd.").split(".")
    while parts and not (ROOT.joinpath(*parts) / "__init__.py").exists():
        if ".".join(parts) in OWN:
            break
        parts.pop()
    return ".".join(parts)


@cache
def arrows() -> dict[tuple[str, str], set[str]]:
    """Return for each two rooms of which one imports the other what does so."""
    found = defaultdict(set)
    for package in PACKAGES:
        for path in sources(package):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for name in mentioned(path):
                if name.startswith("stemd."):
                    pair = room_of(module), room_of(name)
                    if pair[0] != pair[1]:
                        found[pair].add(f"{module} imports {name}")
    return dict(found)


def floors(allowed: dict[str, set[str]]) -> list[str]:
    """Return the rooms from the lowest up; `graphlib.CycleError` if there is a circle."""
    return list(TopologicalSorter(allowed).static_order())


if __name__ == "__main__":
    below = defaultdict(set)
    for room, other in arrows():
        below[room].add(other)
    for room in reversed(floors(below)):
        print(f"{room:26} {', '.join(sorted(below[room]))}")
