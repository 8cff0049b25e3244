"""How long a function of the product may be, and how many public methods a class may have.

How complex a function may be is ruff's C901 (pyproject.toml).
"""

import ast
from collections.abc import Iterator

from rooms import PACKAGES, ROOT, parsed, sources

LONGEST, MOST_METHODS = 50, 15
"""Lines of a function without its docstring; public methods and properties of a class, with those
that it inherits from the product's."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> dict[str, ast.Module]:
    """Return every module of the product by its name."""
    return {
        ".".join(("stemd", *path.relative_to(ROOT).with_suffix("").parts)): parsed(path)
        for package in PACKAGES
        for path in sources(package)
    }


def lines_of(function: Function) -> int:
    """Count its lines from ``def`` on, without the docstring's."""
    first = function.body[0]
    has_docstring = ast.get_docstring(function) is not None
    docstring = first.end_lineno - first.lineno + 1 if has_docstring else 0
    return function.end_lineno - function.lineno + 1 - docstring


def classes(module: str, tree: ast.Module) -> Iterator[tuple[str, tuple[set[str], list[str]]]]:
    """Yield each class by its full name, with its public methods and the full names of its bases.

    Bases are the module's own classes, or imported by name.
    """
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            methods = {each.name for each in node.body if isinstance(each, Function)}
            bases = [ast.unparse(base).partition("[")[0] for base in node.bases]
            yield (
                f"{module}.{node.name}",
                (
                    {name for name in methods if not name.startswith("_")},
                    [imported.get(base, f"{module}.{base}") for base in bases],
                ),
            )


def public_methods(name: str, known: dict[str, tuple[set[str], list[str]]]) -> set[str]:
    """Return a class's public methods, with those that it inherits from known classes."""
    own, bases = known.get(name, (set(), []))
    return own.union(*(public_methods(base, known) for base in bases if base != name))


def test_no_function_is_long():
    long = {
        f"{module}.{node.name}": lines
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, Function) and (lines := lines_of(node)) > LONGEST
    }
    assert long == {}


def test_no_class_has_many_public_methods():
    known = dict(each for module, tree in modules().items() for each in classes(module, tree))
    counts = {name: len(public_methods(name, known)) for name in known}
    assert max(counts.values()) > 5, "classes are found"
    assert {name: count for name, count in counts.items() if count > MOST_METHODS} == {}


def test_what_is_inherited_counts():
    tree = ast.parse(
        "class A:\n def a(self): 0\n def _b(self): 0\nclass B(A[int]):\n def c(self): 0"
    )
    assert public_methods("m.B", dict(classes("m", tree))) == {"a", "c"}
